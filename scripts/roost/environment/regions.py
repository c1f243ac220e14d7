"""Fly's regions: those that take machines, and those that Fly has closed."""

from __future__ import annotations

REGIONS = (
    *("ams", "arn", "bom", "cdg", "dfw", "ewr", "fra", "gru", "iad"),
    *("jnb", "lax", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz"),
)
# Regions that Fly has closed: the city, and the nearest of the regions above.
CLOSED_REGIONS = {
    "atl": ("Atlanta", "iad"),
    "bog": ("Bogota", "iad"),
    "bos": ("Boston", "ewr"),
    "den": ("Denver", "dfw"),
    "eze": ("Buenos Aires", "gru"),
    "gdl": ("Guadalajara", "dfw"),
    "gig": ("Rio de Janeiro", "gru"),
    "hkg": ("Hong Kong", "sin"),
    "maa": ("Chennai", "bom"),
    "mad": ("Madrid", "cdg"),
    "mia": ("Miami", "iad"),
    "otp": ("Bucharest", "fra"),
    "phx": ("Phoenix", "lax"),
    "qro": ("Queretaro", "dfw"),
    "scl": ("Santiago", "gru"),
    "sea": ("Seattle", "sjc"),
    "waw": ("Warsaw", "arn"),
    "yul": ("Montreal", "yyz"),
}

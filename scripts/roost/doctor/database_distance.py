"""How far a database is from a server, where its host names the region of its cloud. Pure.

Latency from the operator's computer says nothing about the latency from Fly. The distance does: light in
a fibre needs a millisecond for 100 km and back.
"""

from __future__ import annotations

import math
import re

KM_PER_MS = 100.0
"""Kilometres there and back in a millisecond: light travels 200,000 km/s in glass."""
FAR_KM = 1000.0
_EARTH_KM = 6371.0
# Latitude and longitude of the cities, in degrees.
FLY = {
    "ams": (52.4, 4.9),
    "arn": (59.3, 18.1),
    "bom": (19.1, 72.9),
    "cdg": (48.9, 2.4),
    "dfw": (32.8, -96.8),
    "ewr": (40.7, -74.2),
    "fra": (50.1, 8.7),
    "gru": (-23.5, -46.6),
    "iad": (39.0, -77.5),
    "jnb": (-26.2, 28.0),
    "lax": (34.1, -118.2),
    "lhr": (51.5, -0.1),
    "nrt": (35.7, 139.7),
    "ord": (41.9, -87.6),
    "sin": (1.4, 103.8),
    "sjc": (37.3, -121.9),
    "syd": (-33.9, 151.2),
    "yyz": (43.7, -79.4),
}
AWS = {
    "af-south-1": (-33.9, 18.4),
    "ap-northeast-1": (35.7, 139.7),
    "ap-northeast-2": (37.6, 127.0),
    "ap-south-1": (19.1, 72.9),
    "ap-southeast-1": (1.4, 103.8),
    "ap-southeast-2": (-33.9, 151.2),
    "ca-central-1": (45.5, -73.6),
    "eu-central-1": (50.1, 8.7),
    "eu-central-2": (47.4, 8.5),
    "eu-north-1": (59.3, 18.1),
    "eu-south-1": (45.5, 9.2),
    "eu-west-1": (53.3, -6.3),
    "eu-west-2": (51.5, -0.1),
    "eu-west-3": (48.9, 2.4),
    "il-central-1": (32.1, 34.8),
    "me-south-1": (26.1, 50.6),
    "sa-east-1": (-23.5, -46.6),
    "us-east-1": (39.0, -77.5),
    "us-east-2": (40.0, -83.0),
    "us-west-1": (37.3, -121.9),
    "us-west-2": (45.6, -122.6),
}
_REGION = re.compile(r"(?<![a-z0-9])[a-z]{2}-[a-z]+-[1-9](?![0-9])")


def cloud_region(host: str) -> str:
    """Return the region that a host of Supabase's pooler, Neon or RDS names; empty for none."""
    found = _REGION.search(host)
    return found[0] if found and found[0] in AWS else ""


def kilometres(fly: str, aws: str) -> float | None:
    """Return the distance between two regions in kilometres; None where one is unknown."""
    if fly not in FLY or aws not in AWS:
        return None
    (here, east), (there, far_east) = (map(math.radians, FLY[fly]), map(math.radians, AWS[aws]))
    half = math.sin((there - here) / 2) ** 2
    half += math.cos(here) * math.cos(there) * math.sin((far_east - east) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(half))


def nearest(aws: str) -> str:
    """Return the region of Fly that is nearest to a region of AWS."""
    return min(FLY, key=lambda fly: kilometres(fly, aws) or 0.0)

"""Fly's regions."""

from __future__ import annotations

from typing import NamedTuple

from localfly.api_errors import ApiError

DEFAULT = "iad"


class Region(NamedTuple):
    """One region, as `GET /platform/regions` shows it."""

    code: str
    name: str
    latitude: float
    longitude: float
    part: str
    """The continent, as Fly names it."""


# Fly's documentation of regions, August 2026.
REGIONS = (
    Region("ams", "Amsterdam, Netherlands", 52.37, 4.90, "europe"),
    Region("arn", "Stockholm, Sweden", 59.65, 17.92, "europe"),
    Region("bom", "Mumbai, India", 19.09, 72.87, "asia_pacific"),
    Region("cdg", "Paris, France", 48.86, 2.35, "europe"),
    Region("dfw", "Dallas, Texas (US)", 32.78, -96.80, "north_america"),
    Region("ewr", "Secaucus, NJ (US)", 40.79, -74.06, "north_america"),
    Region("fra", "Frankfurt, Germany", 50.11, 8.68, "europe"),
    Region("gru", "Sao Paulo, Brazil", -23.55, -46.63, "south_america"),
    Region("iad", "Ashburn, Virginia (US)", 39.02, -77.46, "north_america"),
    Region("jnb", "Johannesburg, South Africa", -26.13, 28.23, "africa"),
    Region("lax", "Los Angeles, California (US)", 33.94, -118.41, "north_america"),
    Region("lhr", "London, United Kingdom", 51.52, -0.44, "europe"),
    Region("nrt", "Tokyo, Japan", 35.62, 139.75, "asia_pacific"),
    Region("ord", "Chicago, Illinois (US)", 41.89, -87.64, "north_america"),
    Region("sin", "Singapore, Singapore", 1.30, 103.83, "asia_pacific"),
    Region("sjc", "San Jose, California (US)", 37.35, -121.94, "north_america"),
    Region("syd", "Sydney, Australia", -33.87, 151.21, "asia_pacific"),
    Region("yyz", "Toronto, Canada", 43.64, -79.43, "north_america"),
)
CODES = frozenset(region.code for region in REGIONS)


def check_region(code: str | None) -> str:
    """Return a region's code after a check, or the default region.

    Raises:
        ApiError: 400.
    """
    if code and code not in CODES:
        raise ApiError(400, f"invalid_argument: region {code} does not exist")
    return code or DEFAULT

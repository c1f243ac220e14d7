"""Locks of servers with extra packages, beside the files of their environments."""

from __future__ import annotations

from pathlib import Path

from roost.environment.extras import parse_extra
from roost.environment.prefect_settings import OWN_DEPLOY
from roost.environment.server_lock import OURS, header, proven_pins

HASH = f"--hash=sha256:{'0' * 64}"
REDIS = {"prefect": {"version": "3.8.8", "extras": ["prefect-redis"]}}
"""The section of an environment with one extra package."""


def lock_text(*extras: str, version: str = "3.8.8", **pins: str) -> str:
    """Return a lock that fits these extras: each in version 1.0, and what Roost itself pins.

    `pins` has more packages, or other versions, with underscores for dashes.
    """
    proven = proven_pins(OWN_DEPLOY, version)
    parsed = sorted((parse_extra(each) for each in extras), key=lambda extra: extra.name)
    found = {name: min(proven[name]) for name in OURS}
    found |= {extra.name: "1.0" for extra in parsed}
    found |= {name.replace("_", "-"): number for name, number in pins.items()}
    body = "".join(f"{name}=={number} \\\n    {HASH}\n" for name, number in sorted(found.items()))
    return header(tuple(parsed), ()) + body


def write_server_lock(environments: Path, name: str, text: str) -> Path:
    """Write the lock of an environment."""
    path = environments / "locks" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path

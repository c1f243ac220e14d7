"""Identifiers in the forms Fly gives them."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VOLUME = "0123456789abcdefghjkmnpqrstvwxyz"


def machine_id() -> str:
    """14 hexadecimal digits."""
    return secrets.token_hex(7)


def ulid() -> str:
    """26 characters, sortable by time: versions and events."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def volume_id() -> str:
    """`vol_` and 18 characters."""
    return "vol_" + "".join(secrets.choice(_VOLUME) for _ in range(18))


def snapshot_id() -> str:
    """`vs_` and 18 characters."""
    return "vs_" + "".join(secrets.choice(_VOLUME) for _ in range(18))

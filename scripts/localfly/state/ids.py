"""Generate identifiers in Fly's forms."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VOLUME = "0123456789abcdefghjkmnpqrstvwxyz"


def machine_id() -> str:
    """Return 14 hexadecimal digits."""
    return secrets.token_hex(7)


class Ulids:
    """Generates ULIDs that sort in the order of their creation, also within one millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        """Return 26 characters that sort by time, for versions and events."""
        now = (int(time.time() * 1000) << 80) | secrets.randbits(80)
        self._last = now if now >> 80 > self._last >> 80 else self._last + 1
        return "".join(_CROCKFORD[(self._last >> shift) & 31] for shift in range(125, -5, -5))


ulid = Ulids()


def volume_id() -> str:
    """Return `vol_` and 18 characters."""
    return "vol_" + "".join(secrets.choice(_VOLUME) for _ in range(18))


def snapshot_id() -> str:
    """Return `vs_` and 18 characters."""
    return "vs_" + "".join(secrets.choice(_VOLUME) for _ in range(18))

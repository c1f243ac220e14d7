"""Redis's configuration file. Pure.

A password is in it as its SHA-256 alone, which Redis compares logins with (redis.io/docs, ACL).
"""

from __future__ import annotations

from collections.abc import Iterable

from roost_redis.settings import REDIS_PORT, Settings


def configuration(settings: Settings, passwords: Iterable[str]) -> str:
    """Return the text of the configuration file.

    Every write reaches the volume within a second. Nothing is evicted: Prefect's events and leases
    are not a cache. There are no snapshots of Redis's own beside the append-only file.

    Args:
        settings: of this start.
        passwords: those that are accepted, each as its SHA-256.
    """
    lines = (
        f"bind {settings.listen}",
        f"port {REDIS_PORT}",
        "daemonize no",
        f'dir "{settings.data}"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        f"maxmemory {settings.max_mb}mb",
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
        f"user default on {' '.join(f'#{each}' for each in passwords)} ~* &* +@all",
    )
    return "\n".join((*lines, ""))

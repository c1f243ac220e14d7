"""Check the form of a Redis's address before it is sent anywhere.

No message contains any part of an address, because a password may be anywhere in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

FORM = "its form is rediss://USER:PASSWORD@HOST:PORT/0"
SHORTEST = 16
"""Characters of a password that Roost accepts for a Redis that it deploys."""
SCHEMES = ("redis", "rediss")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
# Names that only a private network resolves: Fly's, and this computer's.
_PRIVATE_NAME = re.compile(r"localhost|.+\.(internal|flycast|local|localhost)", re.ASCII)
# Amazon's endpoint of a whole cluster, from which a client learns its nodes.
_CLUSTER_NAME = re.compile(r"(^|\.)clustercfg\.", re.ASCII)
_PLACEHOLDERS = frozenset({"USER", "USERNAME", "PASSWORD", "HOST", "HOSTNAME", "PORT"})


def redis_fault(value: str) -> str:
    """Return what is wrong with the address of a Redis, as the rest of a sentence; empty for none."""
    return next(_faults(value), "")


def password_fault(value: str) -> str:
    """Return what is wrong with the password of a Redis that Roost deploys; empty for nothing.

    Redis is asked thousands of passwords a second, so a short one is guessed.
    """
    if value != value.strip() or not value.isprintable():
        return "has white space before or after it, or a character that cannot be printed"
    if value.strip(_QUOTES) != value:
        return "begins or ends with a quotation mark"
    if len(value) < SHORTEST:
        return f"is shorter than {SHORTEST} characters; make one: openssl rand -base64 24"
    return ""


def _faults(value: str) -> Iterator[str]:
    if value != value.strip() or any(char in "\r\n\t" for char in value):
        yield "has white space before, after or in it"
    if value.strip(_QUOTES) != value:
        yield "begins or ends with a quotation mark"
    scheme = value.partition("://")[0].lower()
    if "sentinel" in scheme:
        yield f"names Sentinels, which roost does not support; name the Redis itself: {FORM}"
    if "cluster" in scheme or "," in value:
        yield f"names several servers, and Redis Cluster is not supported; name one: {FORM}"
    if "://" not in value or scheme not in SCHEMES:
        yield f"is no address of a Redis; {FORM}"
        return
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        yield f"cannot be read: write special characters in the password as %XX; {FORM}"
        return
    yield from _place_faults(parts, host)


def _place_faults(parts: SplitResult, host: str) -> Iterator[str]:
    if not host:
        yield f"has no host; {FORM}"
    if _PLACEHOLDERS & {parts.username, parts.password, host.upper()}:
        yield "still has a placeholder where the real user, password or host belongs"
    if _CLUSTER_NAME.search(host):
        yield "names a cluster's endpoint, and Redis Cluster is not supported; use one without cluster mode"
    if parts.scheme.lower() == "redis" and not _is_private(host):
        yield (
            "would send the password and all events unencrypted over the internet; write rediss://, "
            "or use a host in the private network"
        )
    if not re.fullmatch(r"/?\d*", parts.path):
        yield f"has something else than a database's number after the host; {FORM}"


def _is_private(host: str) -> bool:
    """Return whether a host is in a private network, as far as its name shows."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(_PRIVATE_NAME.fullmatch(host.lower()))

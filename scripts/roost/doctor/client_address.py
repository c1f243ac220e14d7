"""Addresses of servers, and which of them name one server. Pure; a text that is no address is no error."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from roost.http.connection import is_this_computer


def parts_of(url: str) -> SplitResult | None:
    """Return the parts of an address; None if its host or its port cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def path_of(url: str) -> str:
    """Return the path of an address, without a slash at its end."""
    parts = parts_of(url)
    return parts.path.rstrip("/") if parts else ""


def with_path(url: str, path: str) -> str:
    """Return a valid address with another path, and without a query."""
    return urlsplit(url)._replace(path=path, query="", fragment="").geturl()


def host_of(url: str) -> str:
    """Return the host of an address, with a port that is not its scheme's own; empty for no address."""
    parts = parts_of(url)
    if parts is None or not parts.hostname:
        return ""
    plain = {"http": 80, "https": 443}.get(parts.scheme)
    port = parts.port or plain
    return parts.hostname if port == plain else f"{parts.hostname}:{port}"


def same_place(one: str, other: str) -> bool:
    """Return whether two addresses name one server; this computer has several names."""
    first, second = parts_of(one), parts_of(other)
    if first is None or second is None:
        return False
    here = all(is_this_computer(part.hostname or "") for part in (first, second))
    return host_of(one) == host_of(other) or (here and first.port == second.port)

"""Read what a server announces: its app, its address, and when it has to be awake. Pure.

The waker requests only addresses that Fly gives to an app: the public one, and the private one.
Anybody in the organization's private network may announce, so nothing else may be requested for them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from roost_waker.errors import AnnouncementError

FARTHEST = timedelta(days=400)
"""Prefect plans runs some days ahead, and a cron of once a year is the rarest schedule."""
LONGEST_BODY = 2048
"""Bytes of an announcement; a real one has some 150."""
LOOPBACK = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]{0,4}")
"""What the local Fly makes of an app's address."""
_APP = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class Announcement:
    """One app, and when it has to be awake.

    Args:
        app: the app; there is one announcement of each.
        address: what to request, without a path.
        at: when, in UTC; None withdraws what was announced.
    """

    app: str
    address: str
    at: datetime | None

    @property
    def mark(self) -> str:
        """The time as text, which each request for it carries."""
        return "" if self.at is None else self.at.isoformat()

    def to_json(self) -> str:
        """Return the form that `read_announcement` reads."""
        at = None if self.at is None else self.at.isoformat()
        return json.dumps({"app": self.app, "address": self.address, "at": at})


def read_announcement(text: bytes | str, *, local: bool = False) -> Announcement:
    """Return an announcement from its JSON form; keys that are not known are ignored.

    Args:
        text: the JSON.
        local: whether this is a local Fly, where addresses are ports of this computer.

    Raises:
        AnnouncementError: it has another form, or an address that is not that of the app.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise AnnouncementError("the announcement must be JSON") from None
    if not isinstance(document, dict):
        raise AnnouncementError("the announcement must be a JSON object")
    app, address = (_text(document, key) for key in ("app", "address"))
    if not _APP.fullmatch(app):
        raise AnnouncementError("app must be the name of an app on Fly.io")
    here = local and LOOPBACK.fullmatch(address)
    if not here and not is_public(address, app) and not is_private(address, app):
        raise AnnouncementError(f"address must be https://{app}.fly.dev or http://{app}.flycast")
    return Announcement(app, address, _time(document.get("at")))


def is_public(address: str, app: str) -> bool:
    """Return whether an address is an app's address on the internet."""
    return address == f"https://{app}.fly.dev"


def is_private(address: str, app: str) -> bool:
    """Return whether an address is an app's address in the private network."""
    return address == f"http://{app}.flycast"


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise AnnouncementError(f"{key} must be a text")
    return value


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise AnnouncementError("at must be a time of RFC 3339, or null")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise AnnouncementError("at must be a time that exists") from None

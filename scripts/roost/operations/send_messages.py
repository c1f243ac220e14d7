"""Send messages to chats and mail, as a process of its own: what hangs is killed with it.

It reads `{"socket_s": SECONDS, "messages": [{"url": ..., "title": ..., "body": ...}]}` from standard
input, and writes a line `{"number": N, "place": ..., "why": ...}` for each message as it ends; `why` is
empty if the message was accepted. No address is in its arguments, its environment or its output.

Addresses: https://github.com/caronc/apprise/wiki, and what Slack, Discord and Teams show as they are.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import apprise

SOMEWHERE = "its address"
NO_ADDRESS = (
    "its value is no address that messages can be sent to. Store it as Slack, Discord or Teams show it, "
    "as https://HOST/PATH for a webhook, or as mailtos://USER:PASSWORD@HOST?to=NAME@HOST for mail."
)
WEB_ADDRESS = "its web address"
_WEBHOOK = "JSON"
"""What the library calls a web address that gets the message as JSON."""
_STATUS = re.compile(r"error[= ](\d{3})\b")
_NUMBER: ContextVar[int] = ContextVar("number", default=-1)
"""Which message the present thread sends; the library's own threads inherit it."""
_WRITING = threading.Lock()


class Statuses(logging.Handler):
    """Keeps the HTTP status that the library logs for each message, and nothing else of its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.of: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take the status out of a line."""
        if found := _STATUS.search(record.getMessage()):
            self.of[_NUMBER.get()] = found[1]


def main() -> None:
    """Send all messages at once, and end without waiting for what the library left behind."""
    statuses = Statuses()
    log = logging.getLogger("apprise")
    log.propagate = False  # it may quote addresses
    log.addHandler(statuses)
    asked = json.load(sys.stdin)
    threads = [
        threading.Thread(
            target=send, args=(number, message, asked["socket_s"], statuses), daemon=True
        )
        for number, message in enumerate(asked["messages"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


def send(number: int, message: Mapping[str, str], socket_s: float, statuses: Statuses) -> None:
    """Send one message, and write how that ended."""
    _NUMBER.set(number)
    url, place, why = message["url"].strip(), SOMEWHERE, ""
    try:
        plugin = plugin_for(url)
        if plugin is None:
            why = NO_ADDRESS
        else:
            place = place_of(str(plugin.service_name or SOMEWHERE))
            why = "" if accepted(plugin, message, socket_s) else refusal(statuses.of.get(number))
    except Exception as error:  # noqa: BLE001 - any fault is reported, and its text may quote the address
        why = f"sending failed ({type(error).__name__})."
    with _WRITING:
        sys.stdout.write(json.dumps({"number": number, "place": place, "why": why}) + "\n")
        sys.stdout.flush()


def plugin_for(url: str) -> Any:
    """Return what sends to an address; None if it is none."""
    asset = apprise.AppriseAsset(
        app_id="Roost",
        app_desc="Roost",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,  # the page where a redirect ends answers 200, and takes no message
    )
    found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if found is None and (hook := webhook(url)):
        found = apprise.Apprise.instantiate(hook, asset=asset, suppress_exceptions=True)
    return found


def accepted(plugin: Any, message: Mapping[str, str], socket_s: float) -> bool:
    """Send a message as plain text, which the library escapes for its channel."""
    plugin.socket_connect_timeout = plugin.socket_read_timeout = socket_s
    sender = apprise.Apprise(asset=plugin.asset)
    sender.add(plugin)
    return bool(sender.notify(title=message["title"], body=message["body"], body_format="text"))


def webhook(url: str) -> str:
    """Return the form of a plain web address that gets the message as JSON; empty for another one.

    Its query is kept: the library takes names for its own options, except those after `-`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    scheme = "jsons" if parts.scheme == "https" else "json"
    query = urlencode([(f"-{key}", value) for key, value in parse_qsl(parts.query)])
    return urlunsplit((scheme, parts.netloc, parts.path, query, ""))


def place_of(service: str) -> str:
    """Return what an address is shown as: its service, and no part of it; even a host may be a key."""
    return WEB_ADDRESS if service == _WEBHOOK else service


def refusal(status: str | None) -> str:
    """Return why a message was not accepted."""
    answered = f"it answered {status}" if status else "it could not be reached, or refused"
    return f"{answered}. Check the address: it may be mistyped, or no longer valid."


if __name__ == "__main__":
    main()

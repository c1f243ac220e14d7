"""Carry what a stop finds unhandled in Prefect's queues over to the next start, on the volume.

Prefect keeps events in memory until its services have written them: one queue for each service. A
server that stops has 20 s, and a busy one may have thousands of them. Each is delivered once, to the
service that it waited for, when that service is there again and the server is open to all: what is
put back after a failed upgrade must still have it.
"""

from __future__ import annotations

import json
from functools import wraps
from pathlib import Path
from typing import Any

from roost_server.prefect_internals import CONSUMER, MESSAGE
from roost_server.seed_database import flush

FILE = "roost-carried.json"

Waiting = dict[str, list[dict[str, Any]]]
"""Messages as the file has them, by the service that they wait for."""


class MessageHandover:
    """The messages of the stop before, until they are delivered, and those of this stop.

    Args:
        home: the volume.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._subscriptions: dict[str, Any] = {}
        self._waiting: Waiting | None = None
        """None while the server is not open: what is on the volume stays there."""

    def watch(self) -> None:
        """Learn of every service that begins to read; once, before Prefect starts them."""
        consumers = CONSUMER.load()
        init = consumers.__init__

        @wraps(init)
        def begin(consumer: Any, topic: str, *arguments: Any, **options: Any) -> None:
            init(consumer, topic, *arguments, **options)
            # Others read for one client, such as a page that is open: nothing waits for them.
            if "subscription" not in options:
                self._begin(f"{topic}/{options.get('group', '')}", consumer.subscription)

        consumers.__init__ = begin

    def open(self) -> None:
        """Deliver what was carried, now and to every service that begins later."""
        self._waiting = read(self._file)
        for name, subscription in self._subscriptions.items():
            self._deliver(name, subscription)

    def save(self) -> int:
        """Take out of the queues all that waits, and write it to the volume; return how much."""
        if self._waiting is None:
            return 0
        for name, subscription in self._subscriptions.items():
            self._waiting.setdefault(name, []).extend(dequeue(subscription))
        self._write_file(self._waiting)
        return sum(len(messages) for messages in self._waiting.values())

    def _begin(self, name: str, subscription: Any) -> None:
        self._subscriptions[name] = subscription
        self._deliver(name, subscription)

    def _deliver(self, name: str, subscription: Any) -> None:
        if not self._waiting or not (messages := self._waiting.pop(name, [])):
            return
        count = len(messages)
        if rest := enqueue(subscription, messages):
            self._waiting[name] = rest
        # What is delivered must not come twice: triggers count it.
        self._write_file(self._waiting)
        print(f"roost: {count} messages of before the stop go on in {name}", flush=True)

    def _write_file(self, waiting: Waiting) -> None:
        if any(waiting.values()):
            write(self._file, waiting)
        else:
            self._file.unlink(missing_ok=True)


def enqueue(subscription: Any, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put messages into a queue of Prefect's; return those for which it has no room."""
    message = MESSAGE.load()
    queue = subscription._queue  # noqa: SLF001 - as in take
    rest = list(messages)
    while rest and not queue.full():
        queue.put_nowait(message(**rest.pop(0)))
    return rest


def dequeue(subscription: Any) -> list[dict[str, Any]]:
    """Empty a queue of Prefect's; return its messages, those first that are to be tried again."""
    found = []
    for queue in (subscription._retry, subscription._queue):  # noqa: SLF001 - nothing else has them
        while not queue.empty():
            message = queue.get_nowait()
            data = message.data if isinstance(message.data, str) else message.data.decode()
            found.append(
                {
                    "data": data,
                    "attributes": dict(message.attributes or {}),
                    "retry_count": message.retry_count,
                }
            )
    return found


def read(file: Path) -> Waiting:
    """Read what was carried; of a file that cannot be read, nothing."""
    try:
        found: Waiting = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        print(f"roost: {file.name} cannot be read, and is left out: {error}", flush=True)
        return {}
    return found


def write(file: Path, waiting: Waiting) -> None:
    """Write what is carried, whole or not at all."""
    aside = file.with_name(f"{file.name}.new")
    aside.write_text(json.dumps(waiting), "utf-8")
    flush(aside)
    aside.replace(file)
    flush(file.parent)

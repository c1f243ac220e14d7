"""Hand messages that a stop leaves in Prefect's queues over to the next start, on the volume.

Prefect keeps events in memory, in one queue for each service, until the services have written them.
A server has 20 s to stop, and a busy one may have thousands of messages left. Each is delivered
once, to the service that it waited for, when that service reads again and the server is out of
maintenance mode. A server that is rolled back after a failed upgrade must still find them.
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
"""Messages as in the file, by the service that they wait for."""


class MessageHandover:
    """The messages of the last stop until they are delivered, and the messages of this stop.

    Args:
        home: the volume.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._subscriptions: dict[str, Any] = {}
        self._waiting: Waiting | None = None
        """None until the server is open: the messages on the volume stay there."""

    def watch(self) -> None:
        """Register every service that starts to read; call it once, before Prefect starts them."""
        consumers = CONSUMER.load()
        init = consumers.__init__

        @wraps(init)
        def begin(consumer: Any, topic: str, *arguments: Any, **options: Any) -> None:
            init(consumer, topic, *arguments, **options)
            # Prefect passes a subscription for one client, such as an open page; it needs no
            # handover.
            if "subscription" not in options:
                self._begin(f"{topic}/{options.get('group', '')}", consumer.subscription)

        consumers.__init__ = begin

    def open(self) -> None:
        """Deliver the saved messages, now and to every service that starts later."""
        self._waiting = read(self._file)
        for name, subscription in self._subscriptions.items():
            self._deliver(name, subscription)

    def save(self) -> int:
        """Move all waiting messages from the queues to the volume; return how many are saved."""
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
        # A delivered message must not be delivered again: triggers would count it twice.
        self._write_file(self._waiting)
        print(f"roost: {count} messages from before the stop were delivered to {name}", flush=True)

    def _write_file(self, waiting: Waiting) -> None:
        if any(waiting.values()):
            write(self._file, waiting)
        else:
            self._file.unlink(missing_ok=True)


def enqueue(subscription: Any, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put messages into one of Prefect's queues; return those that do not fit."""
    message = MESSAGE.load()
    queue = subscription._queue  # noqa: SLF001 - as in dequeue
    rest = list(messages)
    while rest and not queue.full():
        queue.put_nowait(message(**rest.pop(0)))
    return rest


def dequeue(subscription: Any) -> list[dict[str, Any]]:
    """Empty one of Prefect's queues; return its messages, those that wait for a retry first."""
    found = []
    for queue in (subscription._retry, subscription._queue):  # noqa: SLF001 - no public access
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
    """Return the saved messages; none if the file cannot be read."""
    try:
        found: Waiting = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        print(f"roost: {file.name} cannot be read and is ignored: {error}", flush=True)
        return {}
    return found


def write(file: Path, waiting: Waiting) -> None:
    """Write the messages, whole or not at all."""
    aside = file.with_name(f"{file.name}.new")
    aside.write_text(json.dumps(waiting), "utf-8")
    flush(aside)
    aside.replace(file)
    flush(file.parent)

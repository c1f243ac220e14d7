"""Trials of events that arrive twice; run by the image's Python, from the image's folder.

`python event_trials.py NAME` plays one trial in PREFECT_HOME and prints what came of it as JSON. It
stands alone: neither pytest nor a helper of the tests is in the image.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.server.events.schemas.events import ReceivedEvent, Resource
from prefect.server.events.storage.database import write_events
from prefect.server.utilities.messaging.memory import Consumer, MemoryMessage, Topic
from prefect.settings import get_current_settings
from prefect.types._datetime import now

import roost_server
from roost_server.event_deduplication import write_each_once
from roost_server.message_handover import MessageHandover

HOME = Path(get_current_settings().home)
BAKED = Path(roost_server.__file__).parents[1] / "baked" / "prefect.db"


def event(identity: UUID | None = None) -> ReceivedEvent:
    """Make an event."""
    resource = Resource({"prefect.resource.id": "thing"})
    return ReceivedEvent(
        occurred=now("UTC"), event="seen", resource=resource, id=identity or uuid4()
    )


async def write(*events: ReceivedEvent) -> None:
    """Write events, as the service that persists them does."""
    async with provide_database_interface().session_context() as session:
        await write_events(session=session, events=list(events))
        await session.commit()


async def resent():
    """Events that the database has, alone and beside a new one, and one that comes twice at once."""
    known, twice, new = event(), event(), event()
    failed = 0
    for batch in ([known], [known], [known, new], [twice, event(twice.id)]):
        try:
            await write(*batch)
        except sa.exc.IntegrityError:
            failed += 1
    db = provide_database_interface()
    async with db.session_context() as session:
        count = (await session.execute(sa.text("SELECT count(*) FROM events"))).scalar()
    return {"failed": failed, "events": count}


async def carried():
    """Messages that wait for two services at a stop are delivered to the same services after the start."""
    begin = Consumer.__init__
    stopped = MessageHandover(HOME)
    stopped.open()
    stopped.watch()
    consumers = [Consumer("events", group=name, name=f"{name}-1") for name in ("one", "two")]
    page = Consumer("events", subscription=Topic.by_name("events").subscribe())
    await Topic.by_name("events").publish(MemoryMessage(b"first", {"id": "1"}))
    await consumers[0].subscription.get()  # "one" has handled it
    await Topic.by_name("events").publish(MemoryMessage("second", {"id": "2"}))
    kept = stopped.save()
    left = page.subscription._queue.qsize()

    Consumer.__init__ = begin  # another process
    started = MessageHandover(HOME)
    started.open()
    started.watch()
    got = {}
    for name in ("one", "two"):
        subscription = Consumer("events", group=name, name=f"{name}-2").subscription
        messages = [await subscription.get() for _ in range(subscription._queue.qsize())]
        got[name] = [[str(message.data), message.attributes["id"]] for message in messages]
    return {"kept": kept, "left to the page": left, "got": got}


def main(name, wrap):
    """Run a trial on a new database."""
    shutil.copy(BAKED, HOME / "prefect.db")
    if wrap:
        write_each_once()
    trial = next(trial for trial in (resent, carried) if trial.__name__ == name)
    sys.stdout.write(json.dumps(asyncio.run(trial())) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], "--without" not in sys.argv)

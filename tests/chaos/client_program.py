"""Prefect's own clients for the part `replicated`: each writes one thing after the other, until its input ends.

It runs in the image of a server: `python client_program.py LABEL CLIENTS`. A client writes a flow, a run of it
without an idempotency key, a state of the run and a log of it, and begins anew. Each line of its output is
`ok KIND NAME SECONDS`, once a write was acknowledged, or `failed KIND NAME ERROR`, once the client gave up.
"""

# mypy: ignore-errors
# A separate program in Prefect's environment; the types session has no Prefect.

import asyncio
import itertools
import sys
import time
from datetime import UTC, datetime

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import LogCreate
from prefect.states import Running


def note(line):
    """Write one line of the output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def nothing():
    """Do nothing: the flow is written, and never run."""


async def attempt(kind, name, writing):
    """Wait for one write and note what became of it; return its result, or None if it failed."""
    began = time.monotonic()
    try:
        found = await writing
    except Exception as error:  # noqa: BLE001 - the test reads which
        note(f"failed {kind} {name} {type(error).__name__}")
        return None
    note(f"ok {kind} {name} {time.monotonic() - began:.2f}")
    return found or True


async def write_all(client, name):
    """Write one of each kind; what needs a run is left out where that failed."""
    await attempt("flow", name, client.create_flow_from_name(name))
    flow = Flow(nothing, name=name)
    run = await attempt("run", name, client.create_flow_run(flow, name=name))
    if run is None:
        return
    state = Running(message=name)
    await attempt("state", name, client.set_flow_run_state(run.id, state))
    now = datetime.now(UTC)
    log = LogCreate(name="chaos", level=20, message=name, timestamp=now, flow_run_id=run.id)
    await attempt("log", name, client.create_logs([log]))


async def write(label, number, ends):
    """Write until the end; the client repeats what the server asks it to."""
    async with get_client() as client:
        for count in itertools.count():
            if ends.is_set():
                return
            await write_all(client, f"{label}-{number}-{count}")


async def main(label, count):
    """Run so many clients until the input ends."""
    ends = asyncio.Event()
    writers = [asyncio.create_task(write(label, number, ends)) for number in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    ends.set()
    await asyncio.gather(*writers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

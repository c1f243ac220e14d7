"""Prefect's own clients for the part `replicated`: each writes flows one after the other, until its input ends.

It runs in the image of a server: `python client_program.py LABEL CLIENTS`. Each line of its output is
`ok NAME SECONDS`, once a write was acknowledged, or `failed NAME ERROR`, once the client gave up.
"""

# mypy: ignore-errors
# A separate program in Prefect's environment; the types session has no Prefect.

import asyncio
import itertools
import sys
import time

from prefect.client.orchestration import get_client


def note(line):
    """Write one line of the output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def write(label, number, ends):
    """Write flows until the end; the client repeats what the server asks it to."""
    async with get_client() as client:
        for count in itertools.count():
            if ends.is_set():
                return
            name, began = f"{label}-{number}-{count}", time.monotonic()
            try:
                await client.create_flow_from_name(name)
            except Exception as error:  # noqa: BLE001 - the test reads which
                note(f"failed {name} {type(error).__name__}")
            else:
                note(f"ok {name} {time.monotonic() - began:.2f}")


async def main(label, count):
    """Run so many clients until the input ends."""
    ends = asyncio.Event()
    writers = [asyncio.create_task(write(label, number, ends)) for number in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    ends.set()
    await asyncio.gather(*writers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

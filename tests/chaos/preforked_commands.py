"""A process that has Roost loaded and forks one that runs a command line, for each line it reads.

A command so starts in milliseconds, is a process of its own, and can be killed as one. The answer
to a line is the process's number, and when it has ended another line: its code, as `wait` has it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys

LOADED = (
    *("roost.cli.app", "roost.operations.changes", "roost.commands.server", "roost.report.text"),
    *("roost.commands.files", "jsonschema", "rich.table", "anyio._backends._asyncio"),
)


def main() -> None:
    """Fork, wait and tell, until there are no more lines."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            shorten(request["clocks"])
            be_roost(request["argv"], request["environ"], request["log"])
        print(process, file=told)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), file=told)


def shorten(clocks: dict[str, float]) -> None:
    """Let a client lose its patience sooner, where a play would last for minutes otherwise.

    The real limits are in the unit tests, where no time passes.
    """
    if not clocks:
        return
    client = importlib.import_module("roost.fly.client")
    client.FlyClient.__init__.__kwdefaults__["deadline_s"] = clocks["deadline_s"]
    transport = importlib.import_module("roost.fly.transport")
    vars(transport)["TIMEOUT_S"] = clocks["timeout_s"]


def be_roost(argv: list[str], environ: dict[str, str], log: str) -> None:
    """Run a command line as the program does, and end with its code."""
    from roost.cli.app import main as roost  # noqa: PLC0415 - the parent has it loaded already

    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 70
    try:
        code = roost(argv)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

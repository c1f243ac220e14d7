"""A process that imports Roost and forks a process for each command line that it reads.

So a command starts in milliseconds and is a process that can be killed. For each line it prints the
process id, and after the end of the process a line with its wait status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys

LOADED = (
    *("roost.cli.process", "roost.commands.apply", "roost.commands.status", "roost.report.text"),
    *("roost.commands.files", "jsonschema", "rich.table", "anyio._backends._asyncio"),
)


def main() -> None:
    """Fork, wait and report, until the input ends."""
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
    """Shorten a client's limits, because a scenario would take minutes otherwise.

    The unit tests have the real limits, in virtual time.
    """
    if not clocks:
        return
    client = importlib.import_module("roost.fly.client")
    client.FlyClient.__init__.__kwdefaults__["deadline_s"] = clocks["deadline_s"]
    transport = importlib.import_module("roost.http.transport")
    vars(transport)["TIMEOUT_S"] = clocks["timeout_s"]


def be_roost(argv: list[str], environ: dict[str, str], log: str) -> None:
    """Run a command line as the program does, and exit with its code."""
    from roost.cli.process import main as roost  # noqa: PLC0415 - the parent has it loaded already

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

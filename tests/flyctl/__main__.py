"""The command line of `./run flyctl [--write]`: try each command, and write the README's table.

It needs Fly's own client, which is not part of this project: its path is in $FLYCTL.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from flyctl.commands import CASES, Case
from flyctl.table import README, WORKS, Row, render, replace
from flyctl.trial import ONE, TWO, Trial
from helpers.local_daemon import LocalDaemon, write_parts


def main(arguments: Sequence[str]) -> int:
    """Try every command in its order; exit with 1 if one does not do what it should."""
    program = os.environ.get("FLYCTL")
    if not program:
        sys.stderr.write("Set FLYCTL to the path of Fly's client, such as FLYCTL=$(which fly).\n")
        return 2
    with TemporaryDirectory(prefix="roost-flyctl-", ignore_cleanup_errors=True) as name:
        daemon = start(Path(name))
        try:
            trial = Trial(program, workplace(Path(name)), daemon)
            version = re.sub(r" Commit.*", "", trial.run(["version"]).output.strip())
            rows = [row for case in CASES if (row := attempt(trial, case))]
        finally:
            daemon.clean()
    if len(rows) < len(CASES):
        return 1
    if "--write" in arguments:
        page = README.read_text(encoding="utf-8")
        README.write_text(replace(page, render(version, rows)), encoding="utf-8")
    return 0


def start(folder: Path) -> LocalDaemon:
    """Build the small image under two names, and start a daemon."""
    daemon = LocalDaemon(folder / "home", folder / "cache")
    parts = write_parts(folder / "parts")
    for ref in (ONE, TWO):
        done = daemon.command("image", "build", str(parts), "--version", "1", "--ref", ref)
        if done.returncode:
            raise SystemExit(done.stderr)
    return daemon.start()


def workplace(folder: Path) -> Path:
    """Make a folder in which flyctl finds something to build, and no image."""
    place = folder / "place"
    place.mkdir()
    (place / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    return place


def attempt(trial: Trial, case: Case) -> Row | None:
    """Run a command and print its row; None if it does not do what it should."""
    trial.write(case.toml)
    result = trial.run(case.argv(trial), case.stdin)
    good = (result.code != 0) == case.refused and case.proof(trial, result)
    outcome = result.sentence if case.refused else WORKS
    sys.stdout.write(f"{'ok  ' if good else 'BAD '} {case.words}: {outcome if good else ''}\n")
    if not good:
        sys.stdout.write(f"code {result.code}\n{result.output}\n")
    sys.stdout.flush()
    return Row(case.words, outcome) if good else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

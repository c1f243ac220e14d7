"""The set-up commands of `roost init`: printed, or run one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import which

from roost.commands.init_questions import YES
from roost.errors import UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.report.setup import SetupCommand
from roost.secret_text import SecretText


def run_or_print(
    context: Context, wanted: Iterable[SetupCommand], folder: Path, *, run: bool, yes: bool
) -> None:
    """Run each command that the person confirms, or print all of them."""
    path = context.environ.get("PATH") or ""
    needed = sorted({program for command in wanted for program in command.programs})
    absent = [program for program in needed if not (path and which(program, path=path))]
    asks = sys.stdin.isatty()
    if run and not absent and (asks or yes):
        for command in wanted:
            _run(context, command, folder, ask=not yes)
        return
    if run:
        why = f"there is no {' and no '.join(absent)} here" if absent else "nobody can be asked"
        context.progress.print(f"Nothing is run, because {why}.")
    context.out.print("Run these commands where `fly` and `gh` are logged in:\n")
    for command in wanted:
        context.out.print(f"# {command.what}\n{command.shell()}", markup=False, soft_wrap=True)
    context.out.print("")


def _run(context: Context, command: SetupCommand, folder: Path, *, ask: bool) -> None:
    """Run one command, once the person confirms it.

    Raises:
        UsageError: it failed, and the commands after it need it.
    """
    context.progress.print(f"\n{command.what}:\n  {command.shell()}", markup=False, soft_wrap=True)
    if command.asks and not sys.stdin.isatty():  # an empty value would replace a good one
        context.progress.print("Skipped: it asks, and there is no terminal.")
        return
    if ask:
        context.progress.print("Run it? [Y/n]: ", end="", markup=False)
        answer = sys.stdin.readline().strip().lower()
        if answer not in ("", *YES):
            context.progress.print("Left out.")
            return
    if _succeeds(command, folder):
        return
    if not command.optional:
        raise UsageError(
            "The command failed, and the others were not run.",
            where=command.words[0],
            advice=(
                "Fix what it reports, then run the rest by hand. The file is written. "
                f"See what is missing: {Command('doctor')}"
            ),
        )
    context.progress.print("It failed. The others do not need it.")


def _succeeds(command: SetupCommand, folder: Path) -> bool:
    """Run a command in the repository; only the second program gets the first one's output."""
    given = command.given.encode() if command.given else None
    if not command.into:
        done = subprocess.run(command.words, cwd=folder, input=given, check=False)  # noqa: S603 - the person saw and confirmed it
        return done.returncode == 0
    made = subprocess.run(command.words, cwd=folder, stdout=subprocess.PIPE, check=False)  # noqa: S603 - see above
    value = SecretText(made.stdout.decode(errors="replace").strip())
    if made.returncode != 0 or not value:  # an empty secret would replace a good one
        return False
    into = subprocess.run(command.into, cwd=folder, input=value.reveal().encode(), check=False)  # noqa: S603 - see above
    return into.returncode == 0

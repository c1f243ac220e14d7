"""One run of the command line as a process: signals, exit codes, and errors on standard error."""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer
import typer.exceptions

from roost.cli.app import command_line
from roost.cli.run import in_workflow, note_command, style_here, use_clients
from roost.errors import ExitCode, InternalError, InvalidFilesError, ProgramExit, RoostError
from roost.errors.command import TYPED, rendered

if TYPE_CHECKING:
    from roost.operations.context import Clients

INTERRUPTED = 130


def _end_politely(number: int, frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does."""
    # The signal may arrive between the making of a coroutine and its await.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    signal.default_int_handler(number, frame)


def main(argv: list[str], clients: Clients | None = None) -> int:
    """Run one command line and return its exit code; report every failure in a sentence.

    Args:
        argv: the words after `roost`.
        clients: how it reaches Fly and the registry; the real ones by default.
    """
    # SIGTERM ends the process as Ctrl-C does: clean-up runs, and nothing is left behind.
    # SIGINT is set again, because a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end_politely)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does by itself
    leave_no_core()
    note_command(argv)
    use_clients(clients)
    try:
        code = command_line()(argv, prog_name=TYPED.prefix, standalone_mode=False)
    except RoostError as error:
        return report(error)
    except typer.exceptions.TyperException as error:
        print(misuse(error), file=sys.stderr)  # noqa: T201 - errors go to standard error
        return ExitCode.BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        # A full disk or a folder without permission: the system's message says it best. A closed
        # pipe (`roost show ENV | head`) does not get here: typer and rich end quietly with 1.
        drop_output()
        return report(RoostError(f"{error.strerror or error}.", where=str(error.filename or "")))
    except Exception as error:
        if os.environ.get("ROOST_TRACEBACK"):
            raise
        return report(internal(error))
    # typer itself turns most interrupts into this code
    if code == INTERRUPTED and not isinstance(code, ProgramExit):
        print(  # noqa: T201 - see above
            "roost: stopped. What was done stays done; run the same command to go on.",
            file=sys.stderr,
        )
    return int(code or ExitCode.DONE)


def leave_no_core() -> None:
    """Forbid core dumps of this process and its children, because a core holds secret values.

    The limit is one byte, not zero: a handler that cores are piped to ignores zero (`man 5 core`).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(
        resource.RLIMIT_CORE, (1 if most == resource.RLIM_INFINITY else min(1, most), most)
    )


def drop_output() -> None:
    """Discard what is still buffered for standard output, so that the exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def misuse(error: typer.exceptions.TyperException) -> str:
    """Return what is wrong with the command line; without a command, the usage."""
    message = error.format_message()
    if message.startswith("Usage:"):
        return message
    context = getattr(error, "ctx", None)
    command = context.command_path if context else TYPED.prefix
    ending = "" if message.endswith((".", "?", "!")) else "."
    return f"roost: {message}{ending} See: {command} --help"


def report(error: RoostError) -> int:
    """Print a failure and its error code on standard error, and return its exit code.

    In a workflow it is also written as an annotation.
    """
    escape = escape_commands if in_workflow(os.environ) else escape_controls
    style = style_here(os.environ)
    if isinstance(error, InvalidFilesError):
        for fault in error.faults:
            print(escape(rendered(str(fault), style)), file=sys.stderr)  # noqa: T201 - see main
    message = rendered(error.message, style)
    lines = f"roost: error [{error.word}]: {message}".split("\n")  # escapes would hide line ends
    print("\n".join(map(escape, lines)), file=sys.stderr)  # noqa: T201 - see main
    if in_workflow(os.environ):
        from roost.workflows.run_page import show_failure

        show_failure(os.environ, error)
    return int(error.exit_code)


def escape_controls(line: str) -> str:
    """Escape terminal control characters, because file names and answers may hold any text."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def escape_commands(line: str) -> str:
    """Escape control characters and the commands that GitHub's runner reads from a log."""
    from roost.github.actions import quiet

    return quiet(escape_controls(line))


def internal(error: Exception) -> InternalError:
    """Return an unforeseen failure as an error that names the line of Roost it came from."""
    ours, place, frame = Path(__file__).parents[1], "?", error.__traceback__
    while frame:
        file = Path(frame.tb_frame.f_code.co_filename)
        if file.is_relative_to(ours):
            place = f"{file.relative_to(ours)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return InternalError(type(error).__name__, place)

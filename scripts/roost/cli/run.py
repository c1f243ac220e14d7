"""How a command line becomes a verb: what it is given, and how one that waits is run to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO, cast

from roost.errors import ExitCode, RoostError

if TYPE_CHECKING:
    from roost.operations.context import Context


_DIGITS = 5
_LOCAL: ContextVar[bool] = ContextVar("local", default=False)
"""Whether the command line under way is about the local Fly."""


def note_command(argv: Sequence[str]) -> None:
    """Remember of a command line what advice has to repeat."""
    _LOCAL.set("--local" in argv or list(argv[:1]) == ["up"])


def typed_here(environ: Mapping[str, str]) -> bool | None:
    """Return whether commands to be typed next are for the local Fly; None in a workflow: nobody types."""
    return None if in_workflow(environ) else _LOCAL.get()


def make_context() -> Context:
    """Read the process environment, once, and open the two consoles."""
    from roost.operations.context import PROJECT, Context
    from roost.report.text import make_console

    out, progress = sys.stdout, sys.stderr
    if in_workflow(os.environ):
        from roost.github.actions import QuietFile

        out, progress = cast(TextIO, QuietFile(out)), cast(TextIO, QuietFile(progress))
    width, local = piped_width(os.environ), typed_here(os.environ)
    return Context(
        environ=dict(os.environ),
        project=PROJECT,
        out=make_console(out, width=width, local=local),
        progress=make_console(progress, width=width, local=local),
    )


def piped_width(environ: Mapping[str, str]) -> int:
    """Return the width that COLUMNS asks for; 0 where it asks for none."""
    columns = environ.get("COLUMNS", "")
    return int(columns) if columns.isascii() and columns.isdigit() and len(columns) < _DIGITS else 0


def run(verb: Callable[..., Coroutine[Any, Any, ExitCode]], *arguments: object) -> ExitCode:
    """Run an asynchronous verb to its end; a failure inside a task group is told as itself."""
    import anyio

    context = make_context()
    # What the workflows' own verbs put on a run's page they write themselves.
    told = in_workflow(context.environ) and not verb.__module__.startswith("roost.workflows.")
    context.out.record = told

    async def call() -> ExitCode:
        return await verb(context, *arguments)

    try:
        return anyio.run(call)
    except BaseExceptionGroup as group:
        raise first_cause(group) from group
    finally:
        if told:
            from roost.workflows.run_page import show_output

            show_output(context)


def in_workflow(environ: Mapping[str, str]) -> bool:
    """Return whether this is a step of a workflow of GitHub."""
    return environ.get("GITHUB_ACTIONS") == "true"


def first_cause(error: BaseException) -> BaseException:
    """Find the failure that a person should be told: ours before any other, the first of them."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, RoostError)), causes[0])

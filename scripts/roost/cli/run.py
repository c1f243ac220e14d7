"""Run a command with the context of this process: its environment, its consoles, its event loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TextIO, TypeVar, cast

from roost.errors import RoostError
from roost.errors.command import BARE, TYPED, TYPED_LOCAL, Style

if TYPE_CHECKING:
    # The context brings in the clients; `roost --help` loads none of them.
    from roost.operations.context import Clients, Context

P = ParamSpec("P")
Code = TypeVar("Code", bound=int)

_DIGITS = 5
_LOCAL: ContextVar[bool] = ContextVar("local", default=False)
"""Whether the running command line works on the local Fly."""


_CLIENTS: ContextVar[Clients | None] = ContextVar("clients", default=None)
"""How commands reach the outside, where a test hands in its own."""


def use_clients(clients: Clients | None) -> None:
    """Set the clients of every command that runs in this process from now on."""
    _CLIENTS.set(clients)


def note_command(argv: Sequence[str]) -> None:
    """Record whether the command line uses the local Fly, so that commands in texts repeat the option."""
    _LOCAL.set("--local" in argv or list(argv[:1]) == ["up"])


def style_here(environ: Mapping[str, str]) -> Style:
    """Return how commands in texts are written: in a workflow, where nobody types them, bare."""
    if in_workflow(environ):
        return BARE
    return TYPED_LOCAL if _LOCAL.get() else TYPED


def make_context() -> Context:
    """Read the process environment once and open both consoles."""
    from roost.operations.context import PROJECT, Clients, Context
    from roost.report.text import make_console

    out, progress = sys.stdout, sys.stderr
    if in_workflow(os.environ):
        from roost.github.actions import QuietFile

        out, progress = cast(TextIO, QuietFile(out)), cast(TextIO, QuietFile(progress))
    width, style = piped_width(os.environ), style_here(os.environ)
    return Context(
        environ=dict(os.environ),
        project=PROJECT,
        out=make_console(out, width=width, style=style),
        progress=make_console(progress, width=width, style=style),
        clients=_CLIENTS.get() or Clients(),
    )


def piped_width(environ: Mapping[str, str]) -> int:
    """Return the width that COLUMNS sets; 0 if it sets none."""
    columns = environ.get("COLUMNS", "")
    return int(columns) if columns.isascii() and columns.isdigit() and len(columns) < _DIGITS else 0


def run(
    command: Callable[Concatenate[Context, P], Coroutine[Any, Any, Code]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Code:
    """Run an asynchronous command to its end and return its exit code.

    The type checker holds the arguments to the command's own signature.

    Raises:
        BaseException: what the command raises; of a task group's several failures, the first cause.
    """
    import anyio

    context = make_context()
    # Commands of roost.workflows write their own step summary.
    summarizes = in_workflow(context.environ) and not command.__module__.startswith(
        "roost.workflows."
    )
    context.out.record = summarizes

    async def call() -> Code:
        return await command(context, *args, **kwargs)

    try:
        return anyio.run(call)
    except BaseExceptionGroup as group:
        raise first_cause(group) from group
    finally:
        if summarizes:
            from roost.workflows.run_page import show_output

            show_output(context)


def in_workflow(environ: Mapping[str, str]) -> bool:
    """Return whether this process is a step of a GitHub workflow."""
    return environ.get("GITHUB_ACTIONS") == "true"


def first_cause(error: BaseException) -> BaseException:
    """Return the failure to report from a group: the first of Roost's errors, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, RoostError)), causes[0])

"""The whole command line, put together from its sections."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import typer
import typer.main

from roost.cli.change import change
from roost.cli.data import data
from roost.cli.github import buttons, deploys, pull_requests, watch
from roost.cli.github_releases import upgrades
from roost.cli.local import local_fly
from roost.cli.look import look
from roost.cli.sections import Section, SectionedGroup
from roost.cli.start import start
from roost.errors.command import TYPED


def _group(sections: Iterable[Section], text: str, epilog: str | None = None) -> typer.Typer:
    group = typer.Typer(
        cls=SectionedGroup,
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # loading rich would double the time of --help
        pretty_exceptions_enable=False,
    )
    for section in sections:
        group.registered_commands += section.registered_commands
    return group


app = _group(
    (start, change, look, data),
    "Self-hosted Prefect servers on Fly.io, kept in git. One file in environments/ is one server.",
    "Start here: roost up staging (a real Prefect server on this machine, no Fly account)",
)
app.add_typer(
    _group((local_fly,), "Start, stop and inspect the local Fly on this machine."),
    name="local",
    rich_help_panel=start.title,
)
app.add_typer(
    _group(
        (pull_requests, deploys, buttons, watch, upgrades),
        "Run what GitHub's workflows run.\n\nGITHUB_TOKEN and the other variables are those of a job.",
    ),
    name="github",
    rich_help_panel="GitHub",
)


@functools.cache
def command_line() -> Any:
    """Return the whole command line, built once for all calls in one process."""
    whole = typer.main.get_command(app)
    _write_examples(whole)
    return whole


def _write_examples(command: Any) -> None:
    """Write each example as it is typed in a checkout: `./run roost` instead of `roost`."""
    command.epilog = (command.epilog or "").replace("roost", TYPED.prefix, 1)
    for inner in getattr(command, "commands", {}).values():
        _write_examples(inner)

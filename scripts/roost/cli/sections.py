"""Commands in sections: how `--help` lists them, and one catalog of them all.

typer prints sections only with rich, and loading rich doubles the time of `--help`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
import typer.core

EXAMPLE = "Example: "

Function = TypeVar("Function", bound=Callable[..., Any])


class Section(typer.Typer):
    """A section of commands, such as Start.

    Args:
        title: the heading in `--help`.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def add(self, example: str, *, name: str | None = None) -> Callable[[Function], Function]:
        """Register a function as a command. The first line of its docstring is the summary.

        Args:
            example: a command line that works, as it is typed.
            name: the command's name; the function's own by default.
        """
        return self.command(name, epilog=f"{EXAMPLE}{example}", rich_help_panel=self.title)


class SectionedGroup(typer.core.TyperGroup):
    """A group of commands that `--help` lists by section, each with its whole summary."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature of click
        """Write the sections in the order in which their commands were registered."""
        sections: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, self.commands), default=0)
        for name, command in self.commands.items():
            row = (name.ljust(width), summary_of(command))
            sections.setdefault(section_of(command), []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


@dataclass(frozen=True)
class Entry:
    """One command of the catalog."""

    name: str
    """Such as `plan`, or `local start`."""
    section: str
    """The heading it stands under; that of its group, for a command of a group."""
    summary: str
    """One sentence, without its full stop."""
    example: str
    """A command line that works, beginning with `roost`."""


def catalog(group: Any, prefix: str = "", section: str = "") -> Iterator[Entry]:
    """Return every command of a command line, in the order of `--help`.

    Args:
        group: the command line, built by typer.
        prefix: the words before a command's name.
        section: the heading that the group itself stands under.
    """
    for name, command in group.commands.items():
        heading = section or section_of(command)
        if hasattr(command, "commands"):
            yield from catalog(command, f"{prefix}{name} ", heading)
        else:
            yield Entry(f"{prefix}{name}", heading, summary_of(command), example_of(command))


def summary_of(command: Any) -> str:
    """Return the first line of a command's help, without its full stop."""
    return str(command.help or "").strip().partition("\n")[0].removesuffix(".")


def section_of(command: Any) -> str:
    """Return the heading that a command stands under."""
    return str(command.rich_help_panel)


def example_of(command: Any) -> str:
    """Return the example of a command, beginning with `roost`."""
    text = str(command.epilog or "").removeprefix(EXAMPLE)
    return text[text.find("roost") :]

"""Show the output or the failure of a command on its workflow run: annotations and the run's page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from roost.errors import Fault, InvalidFilesError, RoostError
from roost.github.actions import Annotation, quiet, runner_of
from roost.operations.context import Context
from roost.report.markdown import code, text
from roost.report.wording import counted

MOST_LISTED = 500
FENCE = "~~~~~~"


def show_output(context: Context) -> None:
    """Add what was printed on standard output to the page, in a code block.

    A person starts such a run with a button, and finds the answer on the page of the run.
    """
    runner = runner_of(context.environ)
    printed = context.out.export_text(styles=False).strip("\n")
    if runner and printed:
        # A line that begins like the fence would end the code block.
        lines = [
            f" {line}" if line.startswith(FENCE[:3]) else line
            for line in quiet(printed).split("\n")
        ]
        runner.summary("\n".join((f"{FENCE}text", *lines, FENCE)))


def show_failure(environ: Mapping[str, str], error: RoostError) -> None:
    """Annotate a failure and add it to the page; each fault of a file is annotated on its line."""
    runner = runner_of(environ)
    if runner is None:
        return
    if not isinstance(error, InvalidFilesError):
        runner.annotate([Annotation("error", str(error), error.word)])
        runner.summary(f"**Not done** ({code(error.word)}): {text(str(error))}")
        return
    top = environ.get("GITHUB_WORKSPACE", "")
    placed = [(path_in_repository(fault.path, top), fault) for fault in error.faults]
    left_out = runner.annotate(_annotations(placed))
    runner.summary("\n".join(_summary(placed, left_out)))


def path_in_repository(path: str, top: str) -> str:
    """Return the path by which GitHub knows a file of a checkout.

    Some jobs have their checkout in a subfolder of the workspace, which is no part of GitHub's path;
    so the part from `environments` on counts.
    """
    found = Path(path).absolute()
    if top and found.is_relative_to(Path(top).absolute()):
        found = found.relative_to(Path(top).absolute())
    parts = found.parts
    if "environments" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("environments")
        return "/".join(parts[last:])
    return found.as_posix()


def _annotations(placed: Iterable[tuple[str, Fault]]) -> Iterator[Annotation]:
    for place, fault in placed:
        yield Annotation(
            "error", fault.message, "Environment file", place, fault.line, fault.column
        )


def _summary(placed: list[tuple[str, Fault]], left_out: int) -> Iterator[str]:
    yield f"## {counted(len(placed), 'fault')} in the environment files\n"
    if left_out:
        yield f"{len(placed) - left_out} of them are shown on their lines, {left_out} only here.\n"
    for place, fault in placed[:MOST_LISTED]:
        yield f"- {code(f'{place}:{fault.line}:{fault.column}')} {text(fault.message)}"
    if len(placed) > MOST_LISTED:
        yield f"- and {len(placed) - MOST_LISTED} more: see the log of this run."

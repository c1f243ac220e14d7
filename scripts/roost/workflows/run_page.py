"""What goes wrong in a job, told where GitHub's users look: on the lines, and on the run's page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from roost.errors import Fault, InvalidFilesError, RoostError
from roost.github.actions import Annotation, runner_of
from roost.report.markdown import code, text
from roost.report.wording import counted

MOST_LISTED = 500


def tell_runner(environ: Mapping[str, str], error: RoostError) -> None:
    """Annotate a failure and put it on the run's page; of faults in files each on its line."""
    runner = runner_of(environ)
    if runner is None:
        return
    if not isinstance(error, InvalidFilesError):
        runner.annotate([Annotation("error", str(error), error.word)])
        runner.summary(f"**Not done** ({code(error.word)}): {text(str(error))}")
        return
    top = environ.get("GITHUB_WORKSPACE", "")
    placed = [(place_of(fault.path, top), fault) for fault in error.faults]
    left_out = runner.annotate(_annotations(placed))
    runner.summary("\n".join(_summary(placed, left_out)))


def place_of(path: str, top: str) -> str:
    """Return a file's place in the repository, as GitHub knows it.

    A checkout may lie in a folder of the workspace: the part from `environments` on counts.
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
        yield f"{len(placed) - left_out} of them stand on their lines, {left_out} only here.\n"
    for place, fault in placed[:MOST_LISTED]:
        yield f"- {code(f'{place}:{fault.line}:{fault.column}')} {text(fault.message)}"
    if len(placed) > MOST_LISTED:
        yield f"- and {len(placed) - MOST_LISTED} more: see the log of this run."

"""The runner of GitHub Actions: read the run's variables and event, write annotations and outputs.

A step talks to its runner by lines on standard output that begin with `::` (workflow commands) and
by files. Names and messages come from pull requests and from Fly, so none of them is trusted: each
is escaped, so that no text can end a command or begin another one.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from roost.errors import BadEventError, RunnerFileError
from roost.errors.command import bare
from roost.secret_text import SecretText

MAX_ANNOTATIONS = 10
"""GitHub shows this many of a kind from one step and silently drops the others."""
MAX_MESSAGE = 4000
"""The runner cuts messages at 4,096 characters."""
MAX_TITLE = 255
MAX_SUMMARY = 1_000_000
"""Bytes of a step's whole summary; GitHub drops a summary above 1 MiB."""
MAX_EVENT = 32 * 2**20
CUT = "\n\n_The rest is left out: GitHub shows no longer summary. {rest}_\n"
IN_THE_LOG = "The run's log has all of it."
_WORST_FIRST = ("error", "warning", "notice")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# The runner reads `::` after blanks at the start of a line as a command, and `##[` anywhere. Its
# comparison ignores invisible characters, so these patterns allow them between the characters.
_COMMAND = re.compile(r"^([^!-~\n]*:)(?=[^ -~\n]*:)", re.MULTILINE)
_OLD_COMMAND = re.compile(r"#(?=[^ -~\n]*#[^ -~\n]*\[)")

Kind = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Annotation:
    """A message that GitHub shows beside a line of a file, or without a file at the top of a run."""

    kind: Kind
    message: str
    title: str = ""
    path: str = ""
    line: int = 0
    column: int = 0


def _print(line: str) -> None:
    """Print a line and flush: in a buffer it would be shown after later lines of standard error."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Runner:
    """The runner of this step, and the run that the step belongs to."""

    repository: str = ""
    sha: str = ""
    ref: str = ""
    run_id: str = ""
    run_attempt: str = ""
    actor: str = ""
    """Who started the run."""
    triggering_actor: str = ""
    """Who started this attempt; another person than `actor` where somebody ran the run again."""
    workflow: str = ""
    event_name: str = ""
    server_url: str = ""
    api_url: str = ""
    event_path: str = ""
    summary_path: str = ""
    output_path: str = ""
    say: Callable[[str], None] = field(default=_print, repr=False, compare=False)
    """Prints one line to the runner."""

    @property
    def run_url(self) -> str:
        """The address of this run's page."""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}"

    def event(self) -> Mapping[str, Any]:
        """Return the event that started the workflow, as GitHub sent it.

        Raises:
            BadEventError: the file of the event is missing or cannot be read.
        """
        if not self.event_path:
            raise _bad_event("is not set")
        try:
            with Path(self.event_path).open("rb") as file:
                content = file.read(MAX_EVENT + 1)
        except (OSError, ValueError) as error:
            raise _bad_event(f"names a file that cannot be read ({type(error).__name__})") from None
        if len(content) > MAX_EVENT:
            raise _bad_event("names a file that is too large")
        try:
            event = json.loads(content)
        except (ValueError, RecursionError):
            raise _bad_event("names a file that is not JSON") from None
        if not isinstance(event, dict):
            raise _bad_event("names a file that is no JSON object")
        return event

    def annotate(self, annotations: Iterable[Annotation]) -> int:
        """Show annotations, errors first and at most 10 of a kind; return how many were left out."""
        shown: Counter[str] = Counter()
        left_out = 0
        for annotation in sorted(annotations, key=_rank):
            if shown[annotation.kind] == MAX_ANNOTATIONS:
                left_out += 1
                continue
            shown[annotation.kind] += 1
            self.say(_command(annotation))
        return left_out

    def summary(self, markdown: str, *, rest: str = IN_THE_LOG) -> None:
        """Add Markdown to the page of this run, cut where the page would become too long.

        Args:
            markdown: what to add.
            rest: the sentence that says where to find what was cut.

        Raises:
            RunnerFileError: it could not be written.
        """
        if not self.summary_path:
            return
        path = Path(self.summary_path)
        try:
            used = path.stat().st_size if path.exists() else 0
            written = cut_markdown(f"{bare(markdown).rstrip()}\n\n", MAX_SUMMARY - used, rest)
            # A cut is always reported; GitHub's limit is a little above ours, so there is room for that.
            notice = CUT.format(rest=rest) if used <= MAX_SUMMARY else ""
            _append(path, written or notice)
        except (OSError, ValueError) as error:
            raise _not_written("GITHUB_STEP_SUMMARY", error) from None

    def output(self, name: str, value: str) -> None:
        """Set an output of this step; the value may contain anything.

        Raises:
            RunnerFileError: it could not be written.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an output")
        if not self.output_path:
            return
        end = f"end-{secrets.token_hex(16)}"  # random, so that no value can contain the delimiter
        try:
            _append(Path(self.output_path), f"{name}<<{end}\n{value}\n{end}\n")
        except (OSError, ValueError) as error:
            raise _not_written("GITHUB_OUTPUT", error) from None

    def mask(self, value: SecretText) -> None:
        """Mask a value, and each of its lines, in everything that is logged later."""
        for line in dict.fromkeys(re.split(r"[\r\n]+", value.reveal())):
            if line.strip():
                self.say(f"::add-mask::{_data(line)}")

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Group what the body prints under a title that can be folded."""
        self.say(f"::group::{_data(_one_line(title))}")
        try:
            yield
        finally:
            self.say("::endgroup::")


def runner_of(environ: Mapping[str, str], say: Callable[[str], None] = _print) -> Runner | None:
    """Return the runner of this process, or None outside of GitHub Actions."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    return Runner(
        repository=environ.get("GITHUB_REPOSITORY", ""),
        sha=environ.get("GITHUB_SHA", ""),
        ref=environ.get("GITHUB_REF", ""),
        run_id=environ.get("GITHUB_RUN_ID", ""),
        run_attempt=environ.get("GITHUB_RUN_ATTEMPT", ""),
        actor=environ.get("GITHUB_ACTOR", ""),
        triggering_actor=environ.get("GITHUB_TRIGGERING_ACTOR", ""),
        workflow=environ.get("GITHUB_WORKFLOW", ""),
        event_name=environ.get("GITHUB_EVENT_NAME", ""),
        server_url=environ.get("GITHUB_SERVER_URL", ""),
        api_url=environ.get("GITHUB_API_URL", ""),
        event_path=environ.get("GITHUB_EVENT_PATH", ""),
        summary_path=environ.get("GITHUB_STEP_SUMMARY", ""),
        output_path=environ.get("GITHUB_OUTPUT", ""),
        say=say,
    )


def quiet(text: str) -> str:
    """Make a text from others harmless in a log: the runner reads no line of it as a command.

    The text stays readable: a blank is inserted where a command would begin, and invisible
    characters are written as escapes.
    """
    seen = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in _lines(text))
    return _OLD_COMMAND.sub("# ", _COMMAND.sub(r"\1 ", seen))


@dataclass(frozen=True)
class QuietFile:
    """A text file that makes everything harmless that is written to it (see `quiet`).

    Args:
        file: the file behind it.
    """

    file: TextIO

    def write(self, text: str) -> int:
        """Write a text after making it harmless."""
        return self.file.write(quiet(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def cut_markdown(text: str, limit: int, rest: str = IN_THE_LOG) -> str:
    """Cut a text at the end of a line to at most `limit` bytes, with a note that it was cut."""
    content = _encoded(text)
    if len(content) <= limit:
        return text
    cut = CUT.format(rest=rest)
    room = limit - len(cut.encode())
    if room <= 0:
        return ""
    kept = content[:room]
    whole = kept.rpartition(b"\n")[0] if b"\n" in kept else kept
    return f"{whole.decode('utf-8', errors='ignore')}{cut}"


def _command(annotation: Annotation) -> str:
    """Return the workflow command of an annotation; a column counts only with a line."""
    has_line = bool(annotation.path) and annotation.line > 0
    properties = {
        "file": _one_line(annotation.path),
        "line": str(annotation.line) if has_line else "",
        "col": str(annotation.column) if has_line and annotation.column > 0 else "",
        "title": _one_line(annotation.title)[:MAX_TITLE],
    }
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    message = quiet(bare(annotation.message))
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE - 3]}..."
    return f"::{annotation.kind}{f' {written}' if written else ''}::{_data(message)}"


def _rank(annotation: Annotation) -> tuple[int, str, int, int]:
    kind = _WORST_FIRST.index(annotation.kind)
    return (kind, annotation.path, annotation.line, annotation.column)


def _data(text: str) -> str:
    """Escape a message, as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape the value of a property, as GitHub's own toolkit does."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _one_line(text: str) -> str:
    return quiet(" ".join(text.split()))


def _encoded(text: str) -> bytes:
    """Encode any text, with escapes for surrogates, which file names may contain."""
    return text.encode("utf-8", errors="backslashreplace")


def _append(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(_encoded(text))


def _bad_event(what: str) -> BadEventError:
    return BadEventError(
        f"GITHUB_EVENT_PATH {what}.",
        advice="Run this as a step of a workflow; there the runner sets it.",
    )


def _not_written(name: str, error: Exception) -> RunnerFileError:
    return RunnerFileError(
        f"The file that {name} names cannot be written ({type(error).__name__}).",
        where=name,
        advice="Run this as a step of a workflow; there the runner creates it.",
    )

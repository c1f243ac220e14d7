"""The questions of `roost init`: asked at a terminal, answered by options, or by default."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from roost.doctor.files import codeowners_place
from roost.environment.fields import SIZES
from roost.environment.load import (
    environment_names,
)
from roost.environment.names import name_fault
from roost.environment.regions import REGIONS
from roost.environment.sops_file import repository_of
from roost.environment.starter import (
    BACKENDS,
    EXAMPLES,
    Starter,
    faults_in,
    least_memory_mb,
    written,
)
from roost.environment.yaml_source import Source
from roost.errors import UsageError
from roost.operations.context import Context
from roost.operations.git import repository_slug
from roost.prefect.versions import parse_version
from roost.report.setup import (
    OWNER,
    known_owner,
)
from roost.report.wording import one_line

SUGGESTED = ("staging", "production")


YES, NO = ("y", "yes", "true"), ("n", "no", "false")


@dataclass(frozen=True)
class Answers:
    """The answers that options gave; None for a question that is still open."""

    environment: str | None = None
    app: str | None = None
    organization: str | None = None
    region: str | None = None
    protected: bool | None = None
    size: str | None = None
    memory_mb: str | None = None
    backend: str | None = None
    owner: str | None = None


@dataclass(frozen=True)
class Question:
    """One question, with the default for an empty answer."""

    field: str
    text: str
    default: str = ""

    @property
    def flag(self) -> str:
        """The option that answers it."""
        return {"memory_mb": "--memory", "protected": "--protected or --no-protected"}.get(
            self.field, f"--{self.field}"
        )


class Interview:
    """Collects each answer: from an option, from the person at the terminal, or by default."""

    def __init__(self, context: Context, given: Answers, defaults: Source, *, yes: bool) -> None:
        self.context = context
        self.given = given
        self.defaults = defaults
        self.asks = not yes and sys.stdin.isatty()
        self.yes = yes
        self.folder = context.environments
        self.names = environment_names(self.folder)

    def starter(self) -> Starter:
        """Collect all that the file needs, and check each answer as it comes.

        Raises:
            UsageError: see `init`.
        """
        self._check_enough()
        name = self._ask(self._name_question(), self._name_fault)
        starter = Starter(name=name, version=self._version())
        if isinstance(organization := self.defaults.data.get("organization"), str):
            starter = replace(starter, organization=organization)
        for question in self._questions(starter):
            if question.field == "memory_mb":
                question = replace(question, default=str(starter.memory_mb))  # noqa: PLW2901 - the default depends on the size
            starter = self._answered(starter, question)
        return starter

    def owner(self) -> str:
        """Ask who reviews changes; the answer may be nobody."""
        repository = repository_of(self.folder / "x")
        usual = known_owner(read_if_there(repository / codeowners_place(repository)))
        usual = usual or repository_owner(self.context, self.folder)
        text = (
            "Who reviews changes of servers: a person or a team of GitHub, such as @acme/platform; "
            "an organization is none of them"
        )
        return self._ask(Question("owner", text, usual or "nobody"), _owner_fault)

    def _check_enough(self) -> None:
        """Without a terminal, check that no answer is missing; report all missing ones at once."""
        if self.asks:
            return
        questions = [self._name_question(), *self._questions(Starter(name="x"))]
        missing = [
            question.flag
            for question in questions
            if getattr(self.given, question.field) is None and not (self.yes and question.default)
        ]
        if missing:
            raise UsageError(
                f"There is no terminal to ask, and these are missing: {', '.join(missing)}.",
                advice="Give them"
                + ("." if self.yes else ", or --yes to use the defaults where there are any."),
            )

    def _name_question(self) -> Question:
        free = [name for name in SUGGESTED if name not in self.names]
        text = "Name of the environment, which is its file's and its GitHub environment's"
        return Question("environment", text, free[0] if free and self.asks else "")

    def _questions(self, starter: Starter) -> tuple[Question, ...]:
        return (
            Question("app", "Name of its Fly app, world-wide: https://APP.fly.dev"),
            Question("organization", "Fly organization that pays", starter.organization),
            Question("region", f"Fly region ({' '.join(REGIONS)})"),
            Question(
                "protected",
                "Protected, so that nothing destroys it, and buttons on GitHub need a maintainer or a reviewer",
                "yes" if starter.name.startswith("prod") else "no",
            ),
            Question("size", f"Size ({SIZES[0]}, {SIZES[1]}, ...)", starter.size),
            Question("memory_mb", "Memory in MB", str(least_memory_mb(starter.size))),
            Question("backend", f"Database ({' or '.join(BACKENDS)})", starter.backend),
        )

    def _answered(self, starter: Starter, question: Question) -> Starter:
        """Ask one question and return the environment with its answer."""

        def with_answer(text: str) -> Starter:
            answer = {question.field: _value(question.field, text)}
            if question.field == "size":  # the memory is asked for next
                answer["memory_mb"] = least_memory_mb(text)
            return replace(starter, **answer)  # type: ignore[arg-type] # the rules look at each

        def fault(text: str) -> str:
            if question.field == "protected" and text.lower() not in (*YES, *NO):
                return "answer yes or no"
            if question.field == "app" and text in EXAMPLES:
                return f"{text} is the example's; choose a name of your own"
            path = str(self.folder / f"{starter.name}.yaml")
            faults = faults_in(written(with_answer(text), self.defaults), path, self.defaults)
            return faults[0].message if faults else ""

        return with_answer(self._ask(question, fault))

    def _name_fault(self, name: str) -> str:
        if wrong := name_fault(name):
            return wrong
        if name in self.names:
            return f"{self.folder / name}.yaml exists already and is never overwritten"
        return ""

    def _ask(self, question: Question, fault: Callable[[str], str]) -> str:
        """Return one answer; ask a person again until it is valid.

        Raises:
            UsageError: the option is not valid, or the input ended.
        """
        given = getattr(self.given, question.field)
        if isinstance(given, bool):
            given = "yes" if given else "no"
        if given is None and self.asks:
            return self._ask_person(question, fault)
        answer = question.default if given is None else given
        if wrong := fault(answer):
            raise UsageError(
                f"{_ended(wrong)} Nothing was written.", where=question.flag.partition(" ")[0]
            )
        return answer

    def _ask_person(self, question: Question, fault: Callable[[str], str]) -> str:
        usual = f" [{question.default}]" if question.default else ""
        while True:
            self.context.progress.print(
                f"{question.text}{usual}: ", end="", markup=False, soft_wrap=True
            )
            line = sys.stdin.readline()
            if not line:
                raise UsageError("There was no answer. Nothing was written.")
            answer = line.strip() or question.default
            wrong = fault(answer) if answer else "an answer is required"
            if not wrong:
                return answer
            self.context.progress.print(
                f"  {_ended(one_line(wrong))}", markup=False, soft_wrap=True
            )

    def _version(self) -> str:
        """Return the newest Prefect version that has a lock."""
        locks = (self.context.deploy / "locks").glob("prefect-*.txt")
        versions = [path.stem.removeprefix("prefect-") for path in locks]
        known = [(parsed, text) for text in versions if (parsed := parse_version(text))]
        return max(known)[1] if known else Starter(name="x").version


def _value(field: str, text: str) -> object:
    if field == "protected":
        return text.lower() in YES
    if field == "memory_mb" and text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004 - none is larger
        return int(text)
    return text


def _owner_fault(owner: str) -> str:
    if owner in {"", "nobody"} or OWNER.fullmatch(owner):
        return ""
    return "write a GitHub name with its @, such as @anna or @acme/platform, or nobody"


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def repository_owner(context: Context, folder: Path) -> str:
    """Return the owner of the repository as CODEOWNERS names it; empty if unknown."""
    owner = f"@{repository_slug(context.environ, folder).partition('/')[0]}"
    return owner if OWNER.fullmatch(owner) else ""


def read_if_there(path: Path) -> str:
    """Return the text of a file; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""

"""`roost init`: a new environment's file from a few answers, and the commands that go with it.

Nothing here talks to Fly or GitHub: `fly` and `gh` do, with the logins they have, if `--run` is
given and somebody says yes to each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which

from roost.doctor.files import codeowners_place
from roost.environment.load import (
    DEFAULTS,
    EnvironmentFile,
    environment_names,
    load_environment,
    load_files,
)
from roost.environment.model import REGIONS, SIZES
from roost.environment.names import name_fault
from roost.environment.sops_file import repository_of
from roost.environment.starter import (
    BACKENDS,
    EXAMPLES,
    Starter,
    faults_in,
    least_memory_mb,
    secret_names,
    written,
)
from roost.environment.yaml_source import Source, read_source
from roost.errors import ExitCode, InvalidFilesError, RoostError, UsageError
from roost.operations.context import Context
from roost.operations.git import repository_slug
from roost.prefect.versions import parse_version
from roost.report.setup import (
    OWNER,
    Command,
    app_steps,
    commands,
    known_owner,
    with_owners,
)
from roost.report.wording import one_line
from roost.secret_text import SecretText

SUGGESTED = ("staging", "production")
_YES, _NO = ("y", "yes", "true"), ("n", "no", "false")


@dataclass(frozen=True)
class Given:
    """What the command line says already; None is what it leaves open."""

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
    """One thing to know: how it is asked for, and what is taken where nobody answers."""

    field: str
    text: str
    default: str = ""

    @property
    def flag(self) -> str:
        """The option that answers it."""
        return {"memory_mb": "--memory", "protected": "--protected or --no-protected"}.get(
            self.field, f"--{self.field}"
        )


def init(context: Context, given: Given, *, yes: bool, run: bool) -> ExitCode:
    """Write the file of a new environment, and print or run what else it needs.

    Raises:
        UsageError: something is missing and nobody can be asked, or the file is there already.
        InvalidFilesError: the folder's defaults, or the new file beside the others, have faults.
    """
    folder = context.environments
    defaults = _defaults(folder)
    asking = _Asking(context, given, defaults, yes=yes)
    starter = asking.starter()
    owner = asking.owner()
    path = folder / f"{starter.name}.yaml"
    file = write_new(path, written(starter, defaults), starter.name)
    context.out.print(f"Wrote {path}", markup=False, soft_wrap=True)
    _own(context, repository_of(path), owner, file)
    _tell_examples(context, folder, starter.name)
    wanted = commands(starter, secret_names(file.environment.secrets))
    _do(context, wanted, repository_of(path), run=run, yes=yes)
    _explain_app(context, folder)
    context.out.print(
        f"Next: commit it on a branch, open a pull request, and see what is still missing: "
        f"./run roost doctor {starter.name}",
        markup=False,
        soft_wrap=True,
    )
    return ExitCode.DONE


def _defaults(folder: Path) -> Source:
    """Read what is merged under every file of the folder.

    Raises:
        InvalidFilesError: it has faults, which would be every new file's.
    """
    path = folder / DEFAULTS
    if not path.exists():
        return Source(str(path), {})
    faults = load_files([path]).faults
    if faults:
        raise InvalidFilesError(faults)
    return read_source(str(path), path.read_bytes())


class _Asking:
    """Gets each answer from the command line, from whoever sits there, or from what is usual."""

    def __init__(self, context: Context, given: Given, defaults: Source, *, yes: bool) -> None:
        self.context = context
        self.given = given
        self.defaults = defaults
        self.asks = not yes and sys.stdin.isatty()
        self.yes = yes
        self.folder = context.environments
        self.names = environment_names(self.folder)

    def starter(self) -> Starter:
        """Get all that the file needs, each answer held to the rules as it comes.

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
                question = replace(question, default=str(starter.memory_mb))  # noqa: PLW2901 - it depends on the size
            starter = self._answered(starter, question)
        return starter

    def owner(self) -> str:
        """Get who reviews changes, which may be nobody."""
        repository = repository_of(self.folder / "x")
        usual = known_owner(_read(repository / codeowners_place(repository)))
        usual = usual or repository_owner(self.context, self.folder)
        text = (
            "Who reviews changes of servers: a person or a team of GitHub, such as @acme/platform; "
            "an organization is none of them"
        )
        return self._ask(Question("owner", text, usual or "nobody"), _owner_fault)

    def _check_enough(self) -> None:
        """Name all that is missing at once, where nobody can be asked."""
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
                f"Nobody can be asked here, and these are missing: {', '.join(missing)}.",
                advice="Give them"
                + ("." if self.yes else ", or --yes to take what is usual where there is such."),
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
        """Return the environment with one more answer in it."""

        def with_answer(text: str) -> Starter:
            answer = {question.field: _value(question.field, text)}
            if question.field == "size":  # whose memory is asked for next
                answer["memory_mb"] = least_memory_mb(text)
            return replace(starter, **answer)  # type: ignore[arg-type] # the rules look at each

        def fault(text: str) -> str:
            if question.field == "protected" and text.lower() not in (*_YES, *_NO):
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
            return f"{self.folder / name}.yaml is there already, and is never overwritten"
        return ""

    def _ask(self, question: Question, fault: Callable[[str], str]) -> str:
        """Get one answer; from whoever sits there as often as it takes.

        Raises:
            UsageError: what the command line says is no answer, or whoever sat there left.
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
            wrong = fault(answer) if answer else "it has to be answered"
            if not wrong:
                return answer
            self.context.progress.print(
                f"  {_ended(one_line(wrong))}", markup=False, soft_wrap=True
            )

    def _version(self) -> str:
        """Return the newest Prefect that there is a lock for."""
        locks = (self.context.deploy / "locks").glob("prefect-*.txt")
        versions = [path.stem.removeprefix("prefect-") for path in locks]
        known = [(parsed, text) for text in versions if (parsed := parse_version(text))]
        return max(known)[1] if known else Starter(name="x").version


def _value(field: str, text: str) -> object:
    if field == "protected":
        return text.lower() in _YES
    if field == "memory_mb" and text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004 - none is larger
        return int(text)
    return text


def _owner_fault(owner: str) -> str:
    if owner in {"", "nobody"} or OWNER.fullmatch(owner):
        return ""
    return "write a GitHub name with its @, such as @anna or @acme/platform, or nobody"


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def write_new(path: Path, text: str, name: str) -> EnvironmentFile:
    """Write a file that is not there yet: all of it and right, or nothing.

    Raises:
        UsageError: it is there.
        InvalidFilesError: beside the other files of its folder it has a fault; it is gone again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path, text, new=True)
    try:
        return load_environment(name, path.parent)
    except RoostError:
        path.unlink()
        raise


def _put(path: Path, text: str, *, new: bool) -> None:
    """Put a whole text where it belongs in one go."""
    descriptor, aside = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        if new:
            path.hardlink_to(aside)  # which fails where something is
        else:
            Path(aside).replace(path)
    except FileExistsError:
        raise UsageError(
            "The file is there already, and is never overwritten.",
            where=str(path),
            advice="Choose another name with --environment, or remove it first.",
        ) from None
    finally:
        with suppress(FileNotFoundError):
            Path(aside).unlink()


def repository_owner(context: Context, folder: Path) -> str:
    """Return whose repository this is, as CODEOWNERS would name them; empty where that is not known."""
    owner = f"@{repository_slug(context.environ, folder).partition('/')[0]}"
    return owner if OWNER.fullmatch(owner) else ""


def _own(context: Context, repository: Path, owner: str, file: EnvironmentFile) -> None:
    """Give everything a code owner, but unprotected environments."""
    place = codeowners_place(repository)
    path = repository / place
    if owner in {"", "nobody"}:
        context.progress.print(
            f"Nobody reviews changes of servers yet: write a person or a team of GitHub into "
            f"{place}, such as @anna or @acme/platform. What needs a line there says: "
            f"./run roost doctor {file.name}",
            markup=False,
            soft_wrap=True,
        )
        return
    if owner == repository_owner(context, file.path.parent):
        context.progress.print(
            f"{owner} is whose repository this is. GitHub takes only people and teams as code owners: "
            f"if it is an organization, write one of its teams, such as {owner}/platform, into "
            f"{place}.",
            markup=False,
            soft_wrap=True,
        )
    before = _read(path)
    files = load_files([file.path.parent]).files
    theirs = [found for found in files if found.environment.app not in EXAMPLES]
    after = with_owners(before, owner, theirs)
    if after != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, after, new=False)
        context.out.print(f"Wrote {path}", markup=False, soft_wrap=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _tell_examples(context: Context, folder: Path, name: str) -> None:
    """Name the template's own files, which nobody can deploy."""
    files = [f for f in load_files([folder]).files if f.environment.app in EXAMPLES]
    examples = [str(file.path) for file in files if file.name != name]
    if examples:
        context.progress.print(
            f"The template's examples are nobody's servers: git rm {' '.join(examples)}",
            markup=False,
            soft_wrap=True,
        )


def _explain_app(context: Context, folder: Path) -> None:
    """Report how an App may open the pull requests of workflows, which may not open any themselves."""
    owner = repository_slug(context.environ, folder).partition("/")[0]
    server = context.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    context.out.print(app_steps(owner, server), markup=False, soft_wrap=True)


def _do(context: Context, wanted: Iterable[Command], folder: Path, *, run: bool, yes: bool) -> None:
    """Run each command that somebody agrees to; or print them all."""
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
    context.out.print("What else it needs, where `fly` and `gh` are logged in:\n")
    for command in wanted:
        context.out.print(f"# {command.what}\n{command.shell()}", markup=False, soft_wrap=True)
    context.out.print("")


def _run(context: Context, command: Command, folder: Path, *, ask: bool) -> None:
    """Run one command.

    Raises:
        UsageError: it failed, and the others need it.
    """
    context.progress.print(f"\n{command.what}:\n  {command.shell()}", markup=False, soft_wrap=True)
    if command.asks and not sys.stdin.isatty():  # an empty value would take the place of a good one
        context.progress.print("Left out: it asks, and nobody can be asked here.")
        return
    if ask:
        context.progress.print("Run it? [Y/n]: ", end="", markup=False)
        answer = sys.stdin.readline().strip().lower()
        if answer not in ("", *_YES):
            context.progress.print("Left out.")
            return
    if _succeeds(command, folder):
        return
    if not command.optional:
        raise UsageError(
            "The command failed, and the others were not run.",
            where=command.words[0],
            advice=(
                "Mend what it says, then run the rest by hand; the file is written. "
                "See what is missing: ./run roost doctor"
            ),
        )
    context.progress.print("It failed; the rest works without it.")


def _succeeds(command: Command, folder: Path) -> bool:
    """Run it where the repository is; what the first program prints goes nowhere but to the second."""
    given = command.given.encode() if command.given else None
    if not command.into:
        done = subprocess.run(command.words, cwd=folder, input=given, check=False)  # noqa: S603 - shown, and agreed to
        return done.returncode == 0
    made = subprocess.run(command.words, cwd=folder, stdout=subprocess.PIPE, check=False)  # noqa: S603 - see above
    value = SecretText(made.stdout.decode(errors="replace").strip())
    if made.returncode != 0 or not value:  # or an empty secret would take the place of a good one
        return False
    into = subprocess.run(command.into, cwd=folder, input=value.reveal().encode(), check=False)  # noqa: S603 - see above
    return into.returncode == 0

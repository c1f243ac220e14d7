"""`roost doctor`: report what the set-up lacks, and what keeps a server or a client from working."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from roost.doctor.check import Check, State, missing, unknown
from roost.doctor.client import client_checks
from roost.doctor.database import database_checks
from roost.doctor.dumps import dump_checks
from roost.doctor.files import file_checks, workflow_checks
from roost.doctor.fly import fly_checks
from roost.doctor.github import github_checks
from roost.doctor.server import server_checks
from roost.doctor.sops_keys import key_checks
from roost.doctor.workflows import Workflows, read_workflows
from roost.environment.load import (
    EnvironmentFile,
    Loaded,
    environment_names,
    load_environment,
    load_files,
)
from roost.environment.sops_file import repository_of
from roost.errors import ExitCode, Fault, InvalidFilesError, RoostError, UsageError
from roost.errors.command import Command
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.fly_target import connect, fly_token
from roost.operations.git import repository_slug
from roost.operations.secret_sources import given_values
from roost.report.wording import one_line

_STYLE = {
    State.OK: "green",
    State.MISSING: "red",
    State.WRONG: "red",
    State.UNKNOWN: "yellow",
}

_WIDTH, _INDENT = 80, 9


@dataclass(frozen=True)
class Look:
    """What `roost doctor` looks at.

    Args:
        database: the databases of the environments, instead of the rest.
        client: this computer's own Prefect, instead of the rest.
        url: the server that it should talk to; empty for that of the environment.
        wake: whether a request may wake a sleeping server.
        local: whether the servers are on the local Fly.
    """

    database: bool = False
    client: bool = False
    url: str = ""
    wake: bool = False
    local: bool = False


async def doctor(
    context: Context,
    names: Sequence[str],
    *,
    look: Look = Look(),
    as_json: bool,
) -> ExitCode:
    """Print each check; the exit code is 2 if something is missing or wrong.

    Args:
        context: the variables, the folders and the consoles.
        names: the environments; all if there are none. Servers are looked at where they are named.
        look: what to look at.
        as_json: whether to print one JSON document.

    Raises:
        UnknownEnvironmentError: no environment has that name.
        UsageError: the options do not go together.
    """
    checks: list[Check] = []
    _check_usage(names, look)
    async for check in _found(context, names, look):
        checks.append(check)
        if not as_json:
            _tell(context, check)
    counts = {state.value: sum(check.state is state for check in checks) for state in State}
    if as_json:
        document = {"checks": [check.document() for check in checks], "counts": counts}
        context.out.print_json(json.dumps(document))
    else:
        listed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        context.out.print(f"{listed}.", markup=False)
    return ExitCode.CHANGES if any(check.state.is_fault for check in checks) else ExitCode.DONE


def _check_usage(names: Sequence[str], look: Look) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: two of them exclude each other, or a client is to be compared with two servers.
    """
    if look.database and look.client:
        raise UsageError("--database and --client exclude each other.")
    if look.url and not look.client:
        raise UsageError("--url goes with --client.")
    if look.client and (len(names) > 1 or (names and look.url)):
        raise UsageError("--client takes one environment, or --url.")
    if look.wake and (look.database or not names):
        raise UsageError(
            "--wake goes with an environment.",
            advice=f"Example: {Command('doctor', 'ENV', '--wake')}",
        )


def _found(context: Context, names: Sequence[str], look: Look) -> AsyncIterator[Check]:
    if look.client:
        return _client(context, names, look)
    loaded = _loaded(context, names)
    if look.database:
        return _databases(context, loaded)
    if look.local:
        return _servers(context, loaded, look)
    return _all(context, loaded, look if names else None)


async def _client(context: Context, names: Sequence[str], look: Look) -> AsyncIterator[Check]:
    file = load_environment(names[0], context.environments) if names else None
    async for check in client_checks(context, file, look.url, local=look.local, wake=look.wake):
        yield check


async def _servers(context: Context, loaded: Loaded, look: Look) -> AsyncIterator[Check]:
    """Look at each server, on the local Fly or on Fly.io."""
    for check in file_checks(context, (), loaded.faults):
        yield check
    async with connect(context, local=look.local) as target:
        for file in loaded.files:
            async for check in server_checks(context, target, file, wake=look.wake):
                yield check


def _loaded(context: Context, names: Sequence[str]) -> Loaded:
    """Load the named environments, or all; their faults are findings, not errors."""
    folder = context.environments
    if not names:
        return load_files([folder] if folder.is_dir() else [])
    files: list[EnvironmentFile] = []
    faults: list[Fault] = []
    for name in dict.fromkeys(names):
        try:
            files.append(load_environment(name, folder))
        except InvalidFilesError as error:
            faults += error.faults
    return Loaded(tuple(files), tuple(faults))


async def _all(context: Context, loaded: Loaded, servers: Look | None) -> AsyncIterator[Check]:
    repository = repository_of(context.environments / "x")
    workflows = read_workflows(repository)
    if not environment_names(context.environments):
        yield missing("there is no environment yet", Command("init").typed)
    for check in file_checks(context, loaded.files, loaded.faults):
        yield check
    for check in key_checks(loaded.files):
        yield check
    for check in workflow_checks(workflows, loaded.files, repository):
        yield check
    async for check in _on_github(context, workflows, loaded):
        yield check
    async for check in _on_fly(context, loaded, servers):
        yield check


async def _databases(context: Context, loaded: Loaded) -> AsyncIterator[Check]:
    for check in file_checks(context, (), loaded.faults):
        yield check
    for file in loaded.files:
        async for check in database_checks(file, given_values(context, file), time.time):
            yield check
        async for check in dump_checks(context, file, datetime.now(UTC)):
            yield check


async def _on_github(
    context: Context, workflows: Workflows, loaded: Loaded
) -> AsyncIterator[Check]:
    if not context.environ.get("GITHUB_TOKEN"):
        why = "GitHub was not checked: GITHUB_TOKEN is not set"
        yield unknown(why, f'GITHUB_TOKEN="$(gh auth token)" {Command("doctor").typed}')
        return
    slug = repository_slug(context.environ, context.environments)
    if not slug:
        why = "GitHub was not checked: the repository is unknown"
        yield unknown(why, "set GITHUB_REPOSITORY=OWNER/NAME, or add the remote origin")
        return
    try:
        async with github_of({**context.environ, "GITHUB_REPOSITORY": slug}) as github:
            async for check in github_checks(github, workflows, loaded.files):
                yield check
    except RoostError as error:
        yield unknown(f"GitHub could not be checked: {error}")


async def _on_fly(context: Context, loaded: Loaded, servers: Look | None) -> AsyncIterator[Check]:
    if not context.environ.get("FLY_API_TOKEN"):
        why = "Fly was not checked: FLY_API_TOKEN is not set"
        yield unknown(why, f'FLY_API_TOKEN="$(fly auth token)" {Command("doctor").typed}')
        return
    try:
        async with connect(context, local=False) as target:
            token, now = fly_token(context.environ), datetime.now(UTC)
            async for check in fly_checks(target.fly, token, loaded.files, now):
                yield check
            if servers is None:
                return
            for file in loaded.files:
                async for check in server_checks(context, target, file, wake=servers.wake):
                    yield check
    except RoostError as error:
        yield unknown(f"Fly could not be checked: {error}")


def _tell(context: Context, check: Check) -> None:
    word = (f"{check.state.value:<{_INDENT - 1}} ", _STYLE[check.state])
    prefix = f"{check.environment}: " if check.environment else ""
    if check.state is State.WRONG:
        _tell_wrong(context, word, prefix, check)
        return
    context.out.print(Text.assemble(word, one_line(f"{prefix}{check.what}")), soft_wrap=True)
    if check.mend:
        context.out.print(f"{'':{_INDENT}}{one_line(check.mend)}", markup=False, soft_wrap=True)


def _tell_wrong(context: Context, word: tuple[str, str], prefix: str, check: Check) -> None:
    """Print a finding in 80 columns: what, what shows it, the fix; diffs and commands can be copied."""
    context.out.print(_Indented(Text.assemble(word), Text(one_line(f"{prefix}{check.what}"))))
    margin = Text(" " * _INDENT)
    for line in check.evidence:
        context.out.print(_Indented(margin, Text(f"seen: {one_line(line)}", style="dim")))
    if check.mend:
        context.out.print(_Indented(margin, Text(f"fix: {one_line(check.mend)}")))
    if check.change:
        context.out.file.write(f"{check.change}\n")  # rich would change tabs and line ends
    for command in check.commands:
        context.out.print(Text(f"{'':{_INDENT}}{command}"), soft_wrap=True)


@dataclass(frozen=True)
class _Indented:
    """A text beside a word or a margin, wrapped at `_WIDTH` columns."""

    margin: Text
    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return it to rich."""
        width = min(_WIDTH, console.width) - _INDENT
        inside = options.update(width=max(width, _INDENT), no_wrap=False, overflow="fold")
        first: list[Segment] = [*console.render(Text.assemble(self.margin, end=""), options)]
        for line in console.render_lines(self.text, inside, pad=False):
            *words, last = line or [Segment("")]
            yield from (*first, *words, Segment(last.text.rstrip(), last.style))
            yield Segment.line()
            first = [Segment(" " * _INDENT)]

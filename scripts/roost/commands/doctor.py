"""`roost doctor`: report what the set-up lacks, in the checkout, on GitHub and on Fly."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from rich.text import Text

from roost.doctor.check import Check, State, missing, unknown
from roost.doctor.database import database_checks
from roost.doctor.files import file_checks, workflow_checks
from roost.doctor.fly import fly_checks
from roost.doctor.github import github_checks
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
from roost.errors import ExitCode, Fault, InvalidFilesError, RoostError
from roost.errors.command import Command
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.fly_target import connect, fly_token
from roost.operations.git import repository_slug
from roost.operations.secret_sources import given_values
from roost.report.wording import one_line

_STYLE = {State.OK: "green", State.MISSING: "red", State.UNKNOWN: "yellow"}


async def doctor(
    context: Context,
    names: Sequence[str],
    *,
    database: bool = False,
    as_json: bool,
) -> ExitCode:
    """Print each check; the exit code is 2 if something is missing.

    Args:
        context: the variables, the folders and the consoles.
        names: the environments; all if there are none.
        database: whether to check their databases instead of the set-up.
        as_json: whether to print one JSON document.

    Raises:
        UnknownEnvironmentError: no environment has that name.
    """
    checks: list[Check] = []
    loaded = _loaded(context, names)
    found = _databases(context, loaded) if database else _all(context, loaded)
    async for check in found:
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
    return ExitCode.CHANGES if counts[State.MISSING.value] else ExitCode.DONE


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


async def _all(context: Context, loaded: Loaded) -> AsyncIterator[Check]:
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
    async for check in _on_fly(context, loaded):
        yield check


async def _databases(context: Context, loaded: Loaded) -> AsyncIterator[Check]:
    for check in file_checks(context, (), loaded.faults):
        yield check
    for file in loaded.files:
        async for check in database_checks(file, given_values(context, file), time.time):
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


async def _on_fly(context: Context, loaded: Loaded) -> AsyncIterator[Check]:
    if not context.environ.get("FLY_API_TOKEN"):
        why = "Fly was not checked: FLY_API_TOKEN is not set"
        yield unknown(why, f'FLY_API_TOKEN="$(fly auth token)" {Command("doctor").typed}')
        return
    try:
        async with connect(context, local=False) as target:
            token, now = fly_token(context.environ), datetime.now(UTC)
            async for check in fly_checks(target.fly, token, loaded.files, now):
                yield check
    except RoostError as error:
        yield unknown(f"Fly could not be checked: {error}")


def _tell(context: Context, check: Check) -> None:
    word = (f"{check.state.value:<8} ", _STYLE[check.state])
    prefix = f"{check.environment}: " if check.environment else ""
    context.out.print(Text.assemble(word, one_line(f"{prefix}{check.what}")), soft_wrap=True)
    if check.mend:
        context.out.print(f"{'':9}{one_line(check.mend)}", markup=False, soft_wrap=True)

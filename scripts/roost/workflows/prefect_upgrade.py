"""`roost github prefect-*`: propose a new release of Prefect by a pull request.

Jobs of their own, because one runs packages that nobody here has read: `prefect-look` chooses the
release, `prefect-edit` prepares a checkout in which it is locked, built and started without any token,
`prefect-pull` checks what that job wrote and opens the pull request, and `prefect-issue` reports
what stands in its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from roost.commands.drift import watched
from roost.environment.edit import CannotEditError, edit_places
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import SqliteDatabase
from roost.environment.prefect_settings import is_settings_list
from roost.environment.server_lock import FOLDER as LOCKS
from roost.environment.server_lock import ServerLockError, parse_server_lock, read_server_lock
from roost.errors import (
    BadDocumentError,
    ExitCode,
    InvalidFilesError,
    UnappliableError,
    UsageError,
)
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.operations.context import Context
from roost.prefect.upgrade_step import next_step
from roost.prefect.versions import Version, parse_version
from roost.report.kept_issue import KeptIssue
from roost.report.prefect_upgrade import Upgrade, failed_issue, upgrade_lines, waiting_issue
from roost.workflows.job import need_runner
from roost.workflows.one_issue import close, keep
from roost.workflows.open_pull import (
    FileChange,
    Proposal,
    base_of,
    body_of,
    link_of,
    path_in_repository,
    push,
)

ISSUE = KeptIssue("roost-prefect", "8250df", "A new release of Prefect, watched by Roost")
PLACE = ("prefect", "version")
SUCCESS = "success"
BUTTON = "workflow_dispatch"
MAX_UPGRADE = 20_000


async def look(context: Context, *, cooldown_days: int) -> ExitCode:
    """Choose the next release of the unprotected environments, and set it as outputs.

    The output `trial` is the one as which the release is started before that.

    Raises:
        InvalidFilesError: an environment file is not valid.
        PackageIndexError: the index does not answer.
    """
    runner = need_runner(context)
    upgrade = await choose(context, timedelta(days=cooldown_days))
    runner.output("version", upgrade.version if upgrade else "")
    runner.output("environments", " ".join(upgrade.environments) if upgrade else "")
    runner.output("trial", upgrade.trial if upgrade else "")
    runner.output("upgrade", upgrade.model_dump_json() if upgrade else "")
    context.out.print(_found(upgrade), markup=False, soft_wrap=True)
    return ExitCode.DONE


async def choose(context: Context, cooldown: timedelta) -> Upgrade | None:
    """Return the upgrade to propose; None where every unprotected environment is up to date.

    The environment with the oldest version says which release is next, so that no version is skipped.
    Those with an image of their own are left out: their version follows the image.
    """
    loaded = watched(context)
    if loaded.faults:
        raise InvalidFilesError(loaded.faults)
    ours = [each for each in loaded.files if each.environment.prefect.image is None]
    versions = {each.name: _version(each) for each in ours if not each.environment.protected}
    if not versions:
        return None
    oldest = min(versions.values())
    index = context.clients.package_index(context.environ)
    known = await index.vulnerabilities(str(oldest))
    now = context.clients.now()
    step = next_step(oldest, await index.releases(), known or (), now, cooldown)
    if step is None:
        return None
    old = [each for each in ours if _version(each) < step.version]
    behind = {each.name: str(_version(each)) for each in old}
    return Upgrade(
        version=str(step.version),
        environments={name: behind[name] for name in sorted(versions) if name in behind},
        left={name: behind[name] for name in sorted(behind) if name not in versions},
        trial=_trial(each for each in old if each.name in versions),
        mends=None if known is None else tuple(each.name for each in step.mends),
    )


def _trial(files: Iterable[EnvironmentFile]) -> str:
    """Return the first of the environments that need no database of their own to be started; or none."""
    startable = (f.name for f in files if isinstance(f.environment.database, SqliteDatabase))
    return min(startable, default="")


def _version(file: EnvironmentFile) -> Version:
    found = parse_version(file.environment.prefect.version)
    if found is None:
        raise UnappliableError("prefect.version is no release.", where=file.name)
    return found


def _found(upgrade: Upgrade | None) -> str:
    if upgrade is None:
        return "No newer release of Prefect is old enough to propose."
    return f"{upgrade.title}."


def edit(context: Context, names: Sequence[str], *, version: str) -> ExitCode:
    """Write a version into environment files of this checkout, as they will be proposed.

    Raises:
        UnappliableError: the version has a form in the file that only a person can edit.
    """
    for name in names:
        file = load_environment(name, context.environments)
        file.path.write_bytes(edited(file.path.read_bytes(), version, file.path.name))
    return ExitCode.DONE


def edited(content: bytes, version: str, name: str) -> bytes:
    """Return the content of an environment file with another version of Prefect.

    Raises:
        UnappliableError: only a person can edit it.
    """
    try:
        return edit_places(content, {PLACE: version})
    except CannotEditError as error:
        raise UnappliableError(
            f"{error}.",
            where=f"{name}:{error.line}",
            advice=f"Write prefect.version: {version} by hand.",
        ) from None


async def propose(context: Context, *, files: Path, opens: bool) -> ExitCode:
    """Open the pull request of an upgrade, or push its branch; set where as an output.

    Args:
        context: the variable UPGRADE holds the output of `prefect-look`.
        files: the folder that the job before uploaded: locks and lists of settings.
        opens: whether the token may open pull requests.

    Raises:
        BadDocumentError: a file of the folder is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    upgrade = read_upgrade(context.environ.get("UPGRADE", ""))
    proposal = proposal_of(context, upgrade, files)
    branch, base = f"roost/prefect-{upgrade.version}", base_of(runner)
    async with github_of(context.environ) as github:
        if already := await _proposed_before(github, runner, branch):
            runner.summary(already)
            return ExitCode.DONE
        await push(github, branch, base, proposal)
        if opens:
            opened = await github.create_pull(
                proposal.title, body_of(runner, proposal), branch, base
            )
            runner.summary(f"[Opened the pull request]({opened.url})")
        else:
            runner.output("link", link_of(runner, branch, proposal))
    return ExitCode.DONE


async def report(context: Context, *, tried: str, proposed: str, link: str) -> ExitCode:
    """Keep one issue about what stands in the way of an upgrade; close it where nothing does.

    Args:
        context: the variable UPGRADE holds the output of `prefect-look`, or nothing.
        tried: the result of the job that tried the release.
        proposed: the result of `prefect-pull`.
        link: its output: where a person opens the pull request; empty where it is open.

    Raises:
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    given = context.environ.get("UPGRADE", "")
    async with github_of(context.environ) as github:
        if not given:
            await close(github, ISSUE, "No newer release waits.")
        elif tried != SUCCESS:
            await keep(github, ISSUE, *failed_issue(read_upgrade(given), runner.run_url))
        elif link:
            await keep(github, ISSUE, *waiting_issue(read_upgrade(given).title, link))
        elif proposed == SUCCESS:
            version = read_upgrade(given).version
            await close(github, ISSUE, f"Prefect {version} was proposed by a pull request.")
    return ExitCode.DONE


def read_upgrade(given: str) -> Upgrade:
    """Read the output of the first job.

    Raises:
        UsageError: it is something else.
    """
    try:
        return Upgrade.model_validate_json(given[:MAX_UPGRADE])
    except ValidationError:
        raise UsageError(
            "This is no output of the job that looks for a release.",
            where="UPGRADE",
            advice="Run the workflow Prefect again.",
        ) from None


def proposal_of(context: Context, upgrade: Upgrade, files: Path) -> Proposal:
    """Return the change of files: each environment, and the locks that the job before wrote.

    The environment files are edited here and not taken from that job, which runs packages that nobody
    has read. What it wrote is checked line by line.

    Raises:
        BadDocumentError: a file is missing, or is not what it should be.
    """
    changes = []
    for name in upgrade.environments:
        file = load_environment(name, context.environments)
        before = file.path.read_bytes()
        path = path_in_repository(file.path.name)
        changes.append(FileChange(path, before, edited(before, upgrade.version, path)))
        if file.environment.prefect.extras:
            changes.append(_locked(context, files, f"environments/{LOCKS}/{name}.txt"))
    changes.extend(_of_version(context, files, upgrade.version))
    changed = tuple(change for change in changes if change.before != change.after)
    return Proposal(changed, upgrade.title, upgrade_lines(upgrade))


def _of_version(context: Context, files: Path, version: str) -> Iterator[FileChange]:
    """Yield the two files of a version, unless the repository has them."""
    if (context.deploy / LOCKS / f"prefect-{version}.txt").exists():
        return
    yield _locked(context, files, f"deploy/{LOCKS}/prefect-{version}.txt")
    path = f"deploy/settings/prefect-{version}.txt"
    content = _read(files, path)
    if not is_settings_list(content):
        raise _bad(path, "a line that names no setting")
    yield FileChange(path, None, content)


def _locked(context: Context, files: Path, path: str) -> FileChange:
    content = _read(files, path)
    try:
        parse_server_lock(content)
    except ServerLockError as error:
        raise _bad(path, str(error)) from None
    present = context.project / path
    return FileChange(path, present.read_bytes() if present.exists() else None, content)


def _read(files: Path, path: str) -> bytes:
    try:
        return read_server_lock(files / path, files)
    except ServerLockError as error:
        raise _bad(path, str(error)) from None


def _bad(path: str, why: str) -> BadDocumentError:
    return BadDocumentError(
        f"The job that locks Prefect did not write what it should: {why}.",
        where=path,
        advice="Nothing was proposed. Run the workflow again, and report it if it stays.",
    )


async def _proposed_before(github: GitHub, runner: Runner, branch: str) -> str:
    """Return a sentence about the pull request of a branch that needs nothing now; empty without one.

    One that a person closed stays closed, unless a person starts this run.
    """
    found = await github.pulls(branch, "all", base=base_of(runner))
    for pull in found:
        if pull.state == "open":
            return f"[Pull request {pull.number}]({pull.url}) is open already."
    closed = [each for each in found if not each.merged]
    if not closed or len(closed) < len(found) or runner.event_name == BUTTON:
        return ""
    return (
        f"A person closed [pull request {closed[0].number}]({closed[0].url}). To propose it again, start "
        "this workflow by hand."
    )

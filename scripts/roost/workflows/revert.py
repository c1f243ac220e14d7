"""`roost github revert`: after a rollback by hand, propose to revert the environment file as well.

Without it the next apply would undo the rollback, because applies follow git. The job that rolled
back passes on which release is live, so this job, which writes to git, needs no Fly token.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.server_lock import FOLDER as LOCKS
from roost.errors import ExitCode, MissingLockError, RoostError, UnappliableError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.github.models import FileContent
from roost.operations.context import Context
from roost.operations.image_parts import image_for
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.releases import draft
from roost.report.markdown import code, text
from roost.workflows.job import need_runner
from roost.workflows.open_pull import FileChange, Proposal, path_in_repository, propose
from roost.workflows.rollback import PutBack, read_put_back
from roost.workflows.superseded import concerns

MOST = 20
"""The number of paths that are listed; a change of `deploy/` may have many."""


async def revert(
    context: Context,
    name: str,
    *,
    handed: str,
    opens: bool,
) -> ExitCode:
    """Propose to revert the file to the commit of the release that is live.

    Args:
        context: the context of this run.
        name: the environment.
        handed: the output of `roost github rollback`.
        opens: whether the token may open pull requests.

    Raises:
        UnappliableError: the commit of that release is not known, or the change that was rolled back
            is in files that are not this environment's alone.
        UsageError: `handed` is no output of a rollback.
    """
    runner = need_runner(context)
    try:
        await put_back(context, runner, name, read_put_back(handed), opens=opens)
    except RoostError as error:
        runner.summary(text(str(error)))  # the person who started the run reads its page
        raise
    return ExitCode.DONE


async def put_back(
    context: Context, runner: Runner, name: str, release: PutBack, *, opens: bool
) -> None:
    """Propose the revert where there is something to revert, and report it.

    Raises:
        RoostError: see revert.
    """
    file = load_environment(name, context.environments)
    check_known(file, release)
    async with github_of(context.environ) as github:
        then = await file_then(github, file, release)
        before = file.path.read_bytes()
        since = await github.changed_files(release.commit, runner.sha)
        others = others_of(file, since)
        if then.content == before:
            message = settled(context, file, release, others)
            runner.summary(message)
            context.out.print(message, markup=False, soft_wrap=True)
            return
        change = FileChange(path_in_repository(file.path.name), before, then.content)
        proposal = Proposal(
            (change,),
            f"Revert {name} to release {release.origin}",
            description(file, release, others),
        )
        await propose(github, runner, proposal, opens=opens)


def settled(
    context: Context, file: EnvironmentFile, release: PutBack, others: Sequence[str]
) -> str:
    """Return the sentence that the file needs no revert.

    Raises:
        UnappliableError: other files need it, because the change that was rolled back is in them.
    """
    as_it_was = f"{file.path.name} is as it was at release {release.origin}."
    if not others or asks_for(context, file, release):
        return f"{as_it_was} There is nothing to revert."
    raise UnappliableError(
        f"{as_it_was} The change that was rolled back is in other files: {', '.join(others[:MOST])}.",
        where=file.name,
        advice="Revert these by hand: until then the next deploy undoes the rollback.",
    )


def asks_for(context: Context, file: EnvironmentFile, release: PutBack) -> bool:
    """Return whether the current files describe what a release runs."""
    try:
        wanted = draft(desired_state(file, image_for(context, file)), Live(), ())
    except MissingLockError:  # the next deploy reports it
        return False
    return wanted is not None and wanted.setup == release.setup


def check_known(file: EnvironmentFile, release: PutBack) -> None:
    """Check that the commit of the release is known.

    Raises:
        UnappliableError: the release's record is gone, or names no commit.
    """
    if not release.commit:
        raise UnappliableError(
            f"The commit of release {release.live} is not known.",
            where=file.name,
            advice="Revert the file by hand: `git revert` the commit with the change that was rolled back.",
        )


async def file_then(github: GitHub, file: EnvironmentFile, release: PutBack) -> FileContent:
    """Return the file of the release's commit.

    Raises:
        UnappliableError: the commit does not have it.
    """
    path = path_in_repository(file.path.name)
    found = await github.file_at(path, release.commit)
    if found is None:
        raise UnappliableError(
            f"{path} does not exist at {release.commit[:10]}, the commit of release {release.origin}.",
            where=file.name,
            advice="Revert the file by hand.",
        )
    return found


def others_of(file: EnvironmentFile, since: Sequence[str]) -> tuple[str, ...]:
    """Return the other changed files that the environment depends on."""
    own = path_in_repository(file.path.name)
    return tuple(other for other in since if other != own and concerns(other, file))


def description(file: EnvironmentFile, release: PutBack, others: Sequence[str]) -> tuple[str, ...]:
    """Return the text of the pull request: what it changes, and what it leaves."""
    path = path_in_repository(file.path.name)
    lines = [
        f"Release {release.live} is live, which is release {release.origin} again.",
        f"Until this is merged, the next deploy of {code(file.name)} undoes the rollback.",
        f"{code(path)} becomes what it was at {code(release.commit[:10])}.",
    ]
    if others:
        listed = ", ".join(code(other) for other in others[:MOST])
        lines.append(
            f"Also changed since then, and left as it is: {listed}. "
            "The plan of this pull request shows the effect."
        )
    lock = f"{path_in_repository(LOCKS)}/{file.name}.txt"
    if lock in others:
        command = f"git checkout {release.commit[:10]} -- {lock}"
        lines.append(
            f"If its extra packages changed, restore their lock on this branch too: {code(command)}."
        )
    return tuple(lines)

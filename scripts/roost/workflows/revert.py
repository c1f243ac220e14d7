"""`roost github revert`: after a rollback by hand, the pull request that makes the file say so too.

Without it the next apply would bring back what was rolled back: git is what counts. Which release is live
is handed on by the job that rolled back, so whoever writes to git here holds no token of Fly's.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, MissingLockError, RoostError, UnappliableError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.github.models import FileContent
from roost.operations.context import Context
from roost.operations.fly_target import image_for
from roost.plan.desired import desired_state
from roost.plan.live import Live
from roost.plan.releases import draft
from roost.report.markdown import code, text
from roost.workflows.job import need_runner
from roost.workflows.open_pull import Proposal, path_in_repository, propose
from roost.workflows.rollback import PutBack, read_put_back
from roost.workflows.superseded import concerns

MOST = 20
"""Paths that are told; a change of `deploy/` may have many."""


async def revert(
    context: Context,
    name: str,
    handed: str,
    opens: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Propose to put the file back to the commit of the release that is live.

    Args:
        context: of this run.
        name: of the environment.
        handed: what `roost github rollback` put out.
        opens: whether the token may open pull requests.

    Raises:
        UnappliableError: nobody knows which commit that release came from, or what brought what was
            rolled back stands in files that are not this environment's alone.
        UsageError: what was handed on is no output of a rollback.
    """
    runner = need_runner(context)
    try:
        await put_back(context, runner, name, read_put_back(handed), opens=opens)
    except RoostError as error:
        runner.summary(text(str(error)))  # who pressed the button looks there
        raise
    return ExitCode.DONE


async def put_back(
    context: Context, runner: Runner, name: str, release: PutBack, *, opens: bool
) -> None:
    """Propose the revert where there is something to revert, and say what was done.

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
            said = settled(context, file, release, others)
            runner.summary(said)
            context.out.print(said, markup=False, soft_wrap=True)
            return
        proposal = Proposal(
            path_in_repository(file.path.name),
            before,
            then.content,
            f"Put {name} back to release {release.origin}",
            told(file, release, others),
        )
        await propose(github, runner, proposal, opens=opens)


def settled(
    context: Context, file: EnvironmentFile, release: PutBack, others: Sequence[str]
) -> str:
    """Report that the file needs no revert.

    Raises:
        UnappliableError: other files do, as what was rolled back comes from them.
    """
    as_it_was = f"{file.path.name} is as it was at release {release.origin}."
    if not others or asks_for(context, file, release):
        return f"{as_it_was} There is nothing to revert."
    raise UnappliableError(
        f"{as_it_was} What was rolled back comes from what changed beside it: {', '.join(others[:MOST])}.",
        where=file.name,
        advice="Revert these by hand: until then the next deploy brings back what was rolled back.",
    )


def asks_for(context: Context, file: EnvironmentFile, release: PutBack) -> bool:
    """Return whether the files as they are now ask for what a release runs."""
    try:
        wanted = draft(desired_state(file, image_for(context, file)), Live(), ())
    except MissingLockError:  # the next deploy tells it
        return False
    return wanted is not None and wanted.setup == release.setup


def check_known(file: EnvironmentFile, release: PutBack) -> None:
    """Hold the release to one that names its commit.

    Raises:
        UnappliableError: the record of the release that is live again is gone, or names no commit.
    """
    if not release.commit:
        raise UnappliableError(
            f"Which commit release {release.live} came from is not known.",
            where=file.name,
            advice="Revert the file by hand: `git revert` the commit that brought what was rolled back.",
        )


async def file_then(github: GitHub, file: EnvironmentFile, release: PutBack) -> FileContent:
    """Return the file as it was at the release's commit.

    Raises:
        UnappliableError: it was not there.
    """
    path = path_in_repository(file.path.name)
    found = await github.file_at(path, release.commit)
    if found is None:
        raise UnappliableError(
            f"{path} was not there at {release.commit[:10]}, the commit of release {release.origin}.",
            where=file.name,
            advice="Revert the file by hand.",
        )
    return found


def others_of(file: EnvironmentFile, since: Sequence[str]) -> tuple[str, ...]:
    """Return what changed beside the environment's own file, and decides what it is."""
    own = path_in_repository(file.path.name)
    return tuple(other for other in since if other != own and concerns(other, file))


def told(file: EnvironmentFile, release: PutBack, others: Sequence[str]) -> tuple[str, ...]:
    """Return what the pull request does, and what it leaves."""
    path = path_in_repository(file.path.name)
    lines = [
        f"Release {release.live} is live, which is release {release.origin} again.",
        f"Until this is merged, the next deploy of {code(file.name)} brings back what was rolled back.",
        f"{code(path)} becomes what it was at {code(release.commit[:10])}.",
    ]
    if others:
        listed = ", ".join(code(other) for other in others[:MOST])
        lines.append(
            f"Changed since as well, and left as it is now: {listed}. "
            "The plan of this pull request shows what that still changes."
        )
    return tuple(lines)

"""`roost github revert`: after a rollback by hand, the pull request that makes the file say so too.

Without it the next apply would bring back what was rolled back: git is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.apply.clearing import environment_machines
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, MissingLockError, RoostError, UnappliableError, UsageError
from roost.github.actions import Runner
from roost.github.api import GitHub, github_of
from roost.github.models import FileContent
from roost.plan.desired import desired_state
from roost.plan.live import Live
from roost.plan.releases import Release, current, draft, releases_on
from roost.report.markdown import code, text
from roost.verbs.ci.newest import concerns
from roost.verbs.ci.propose import Proposal, need_runner, path_in_repository, propose
from roost.verbs.context import Context
from roost.verbs.target import connect, image_for

MOST = 20
"""Paths that are told; a change of `deploy/` may have many."""


async def revert(context: Context, name: str) -> ExitCode:
    """Open a pull request that puts the file back to the commit of the release that is live.

    Raises:
        UnappliableError: nobody knows which commit that release came from, or what brought what was
            rolled back stands in files that are not this environment's alone.
        UsageError: there is no release.
    """
    runner = need_runner(context)
    try:
        said = await put_back(context, runner, name)
    except RoostError as error:
        runner.summary(text(str(error)))  # who pressed the button looks there
        raise
    runner.summary(said)
    context.out.print(said, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def put_back(context: Context, runner: Runner, name: str) -> str:
    """Open the pull request where there is something to put back, and say what was done.

    Raises:
        RoostError: see revert.
    """
    file = load_environment(name, context.environments)
    async with connect(context, local=False) as target:
        machines = await environment_machines(target.fly, file.environment.app, name)
    live, origin = origin_of(file, releases_on(machines))
    async with github_of(context.environ) as github:
        then = await file_then(github, file, origin)
        before = file.path.read_bytes()
        since = await github.changed_files(origin.git, runner.sha)
        others = others_of(file, since)
        if then.content == before:
            return settled(context, file, origin, others)
        proposal = Proposal(
            path_in_repository(file.path.name),
            before,
            then.content,
            f"Put {name} back to release {origin.number}",
            told(file, live, origin, others),
        )
        pull = await propose(github, runner, proposal)
    return f"Opened {pull.url}"


def settled(context: Context, file: EnvironmentFile, origin: Release, others: Sequence[str]) -> str:
    """Say that the file needs no revert.

    Raises:
        UnappliableError: other files do, as what was rolled back comes from them.
    """
    as_it_was = f"{file.path.name} is as it was at release {origin.number}."
    if not others or asks_for(context, file, origin):
        return f"{as_it_was} There is nothing to revert."
    raise UnappliableError(
        f"{as_it_was} What was rolled back comes from what changed beside it: {', '.join(others[:MOST])}.",
        where=file.name,
        advice="Revert these by hand: until then the next deploy brings back what was rolled back.",
    )


def asks_for(context: Context, file: EnvironmentFile, release: Release) -> bool:
    """Say whether the files as they are now ask for what a release runs."""
    try:
        wanted = draft(desired_state(file, image_for(context, file)), Live(), ())
    except MissingLockError:  # the next deploy tells it
        return False
    return wanted is not None and wanted.setup == release.setup


def origin_of(file: EnvironmentFile, releases: tuple[Release, ...]) -> tuple[Release, Release]:
    """Give the release that is live, and the one that first brought what it is.

    Raises:
        UsageError: there is none.
        UnappliableError: the record of the first one is gone, or it names no commit.
    """
    live = current(releases)
    if live is None:
        raise UsageError(f"{file.name} has no release yet.", advice="There is nothing to revert.")
    by_number = {release.number: release for release in releases}
    origin: Release | None = live
    while origin and origin.back_to:
        origin = by_number.get(origin.back_to)
    if origin is None or not origin.git:
        raise UnappliableError(
            f"Which commit release {live.number} came from is not known.",
            where=file.name,
            advice="Revert the file by hand: `git revert` the commit that brought what was rolled back.",
        )
    return live, origin


async def file_then(github: GitHub, file: EnvironmentFile, origin: Release) -> FileContent:
    """Give the file as it was at the release's commit.

    Raises:
        UnappliableError: it was not there.
    """
    path = path_in_repository(file.path.name)
    found = await github.file_at(path, origin.git)
    if found is None:
        raise UnappliableError(
            f"{path} was not there at {origin.git[:10]}, the commit of release {origin.number}.",
            where=file.name,
            advice="Revert the file by hand.",
        )
    return found


def others_of(file: EnvironmentFile, since: Sequence[str]) -> tuple[str, ...]:
    """Give what changed beside the environment's own file, and decides what it is."""
    own = path_in_repository(file.path.name)
    return tuple(other for other in since if other != own and concerns(other, file))


def told(
    file: EnvironmentFile, live: Release, origin: Release, others: Sequence[str]
) -> tuple[str, ...]:
    """Say what the pull request does, and what it leaves."""
    path = path_in_repository(file.path.name)
    lines = [
        f"Release {live.number} is live, which is release {origin.number} again.",
        f"Until this is merged, the next deploy of {code(file.name)} brings back what was rolled back.",
        f"{code(path)} becomes what it was at {code(origin.git[:10])}.",
    ]
    if others:
        listed = ", ".join(code(other) for other in others[:MOST])
        lines.append(
            f"Changed since as well, and left as it is now: {listed}. "
            "The plan of this pull request shows what that still changes."
        )
    return tuple(lines)

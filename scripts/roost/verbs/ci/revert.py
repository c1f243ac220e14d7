"""`roost github revert`: after a rollback by hand, the pull request that makes the file say so too.

Without it the next apply would bring back what was rolled back: git is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.apply.clearing import environment_machines
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, UnappliableError, UsageError
from roost.github.api import GitHub, github_of
from roost.github.models import FileContent
from roost.plan.releases import Release, current, releases_on
from roost.report.markdown import code
from roost.verbs.ci.newest import concerns
from roost.verbs.ci.propose import Proposal, need_runner, path_in_repository, propose
from roost.verbs.context import Context
from roost.verbs.target import connect


async def revert(context: Context, name: str) -> ExitCode:
    """Open a pull request that puts the file back to the commit of the release that is live.

    Raises:
        UnappliableError: nobody knows which commit that release came from.
        UsageError: there is no release.
    """
    runner = need_runner(context)
    file = load_environment(name, context.environments)
    async with connect(context, local=False) as target:
        machines = await environment_machines(target.fly, file.environment.app, name)
    live, origin = origin_of(file, releases_on(machines))
    async with github_of(context.environ) as github:
        then = await file_then(github, file, origin)
        before = file.path.read_bytes()
        if then.content == before:
            context.out.print(f"{file.path.name} is as it was at release {origin.number}.")
            return ExitCode.DONE
        since = await github.changed_files(origin.git, runner.sha)
        proposal = Proposal(
            path_in_repository(file.path.name),
            before,
            then.content,
            f"Put {name} back to release {origin.number}",
            tuple(told(file, live, origin, since)),
        )
        pull = await propose(github, runner, proposal)
    runner.summary(f"Opened {pull.url}")
    context.out.print(f"Opened {pull.url}", soft_wrap=True)
    return ExitCode.DONE


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


def told(
    file: EnvironmentFile, live: Release, origin: Release, since: Sequence[str]
) -> tuple[str, ...]:
    """Say what the pull request does, and what it leaves."""
    path = path_in_repository(file.path.name)
    lines = [
        f"Release {live.number} is live, which is release {origin.number} again.",
        f"Until this is merged, the next deploy of {code(file.name)} brings back what was rolled back.",
        f"{code(path)} becomes what it was at {code(origin.git[:10])}.",
    ]
    others = [other for other in since if other != path and concerns(other, file)]
    if others:
        listed = ", ".join(code(other) for other in others[:20])
        lines.append(
            f"Changed since as well, and left as it is now: {listed}. "
            "The plan of this pull request shows what that still changes."
        )
    return tuple(lines)

"""`roost github release` and `update-issue`: publish a release of Roost, and report one that is newer."""

from __future__ import annotations

import tomllib
from functools import partial

import anyio.to_thread

from roost.commands.update import read_record
from roost.errors import ExitCode, UsageError
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.release_files import changes_between, number_of, text_of
from roost.operations.release_git import Checkout
from roost.report.kept_issue import KeptIssue
from roost.report.markdown import code
from roost.workflows.job import need_runner
from roost.workflows.one_issue import close, keep

ISSUE = KeptIssue("roost-update", "0e8a16", "A newer release of Roost")
TAGS = "refs/tags/"
MOST = 100_000
"""Characters of a release's text; GitHub takes 125,000."""


async def release(context: Context) -> ExitCode:
    """Publish the release of the tag that started this run; a repeat finds it and changes nothing.

    Raises:
        UsageError: tag, version and changelog do not agree.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    if read_record(context):  # a repository that began as the template has tags of its own
        context.out.print(
            "This repository takes its releases from elsewhere, so nothing is published."
        )
        return ExitCode.DONE
    version, body = release_text(context, runner.ref)
    async with github_of(context.environ) as github:
        made = await github.create_release(f"v{version}", f"Roost {version}", body[:MOST])
    context.out.print(f"Published {made.tag}: {made.url}", markup=False, soft_wrap=True)
    return ExitCode.DONE


def release_text(context: Context, ref: str) -> tuple[str, str]:
    """Return the version of a release and its section of the changelog.

    Raises:
        UsageError: the ref is no tag of a version, or pyproject.toml or CHANGELOG.md has another one.
    """
    number = number_of(ref.removeprefix(TAGS)) if ref.startswith(f"{TAGS}v") else None
    if number is None:
        raise UsageError(
            "This is no tag of a release.", where="GITHUB_REF", advice="Push a tag such as v1.2.0."
        )
    version = text_of(number)
    project = tomllib.loads((context.project / "pyproject.toml").read_text("utf-8"))
    own = str(project["project"]["version"])
    changelog = (context.project / "CHANGELOG.md").read_text("utf-8")
    newest = next(changes_between(changelog, None, (10**6,) * 3), ("", ""))
    for place, found in (("pyproject.toml", own), ("CHANGELOG.md", newest[0])):
        if found != version:
            raise UsageError(
                f"The tag is v{version}, and the newest version here is {found or 'none'}.",
                where=place,
                advice="Correct the file, merge that, and tag the new commit.",
            )
    return version, newest[1]


async def update_issue(context: Context) -> ExitCode:
    """Keep one issue while a release is out that is newer than the repository's.

    Raises:
        UpdateError: the repository with the releases does not answer.
        GitHubError: GitHub refuses or fails.
    """
    record = read_record(context)
    if record is None:
        context.out.print(
            "This repository has no record of a release: run `./run update --from URL`."
        )
        return ExitCode.DONE
    checkout = Checkout(context.project, context.environ)
    tags = await anyio.to_thread.run_sync(partial(checkout.tags_of, record.source))
    newest = max((n for n in map(number_of, tags) if n), default=None)
    mine = number_of(record.version)
    async with github_of(context.environ) as github:
        if newest is None or mine is None or newest <= mine:
            await close(github, ISSUE, f"This repository has release {record.version}.")
            context.out.print(f"Release {record.version} is the newest.")
            return ExitCode.DONE
        version = text_of(newest)
        body = (
            f"Roost {version} is out; this repository has {record.version}.\n\nTake it by "
            f"{code('./run update')}, on a branch of yours: it merges the release into your files and commits "
            "nothing. docs/updating.md says how. This issue closes by itself once it is merged.\n"
        )
        issue, _ = await keep(github, ISSUE, f"Roost {version} is out", body)
    context.out.print(f"Roost {version} is out: {issue.url}", markup=False, soft_wrap=True)
    return ExitCode.DONE

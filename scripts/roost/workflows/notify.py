"""Messages about what a run found: which job hands them on, and which sends them.

A job that finds something writes it to an output, without any address. A job of its own, with the
addresses and no token of Fly, sends it. So the sending holds nothing up, and its end changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable

from roost.environment.load import EnvironmentFile, load_files
from roost.errors import ExitCode, GitHubError
from roost.github.actions import Annotation, Runner
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.notifier import heard, tell
from roost.report.notice import (
    Notice,
    broken_notice,
    handed_on,
    read_notices,
    waiting_notice,
)
from roost.workflows.artifact_hashes import named
from roost.workflows.job import need_runner

NOTICES = "NOTICES"
"""The variable with what is to be told, and in lower case the output that it comes from."""
BROKEN = "BROKEN"
"""The variable with the name of a job that failed before it could hand anything on."""


def hand_on(context: Context, runner: Runner | None, notices: Iterable[Notice]) -> None:
    """Write what somebody wants to be told to the output `notices`; nothing if there is nothing.

    What has no room there is a warning.
    """
    files = load_files([context.environments]).files
    wanted = heard(files, tuple(notices))
    if runner and wanted:
        text, left = handed_on(wanted)
        runner.output(NOTICES.lower(), text)
        if left:
            _warn(runner, f"{left} of {len(wanted)} facts are told to nobody: there is no room.")


def telling_of(files: Iterable[EnvironmentFile]) -> frozenset[str]:
    """Return the environments whose file names who is told that a deploy waits for an approval."""
    entries = ((file.name, entry.on) for file in files for entry in file.environment.notify)
    return frozenset(name for name, facts in entries if "approval" in facts)


async def notify(context: Context) -> ExitCode:
    """Send the messages that NOTICES lists, and one about the job BROKEN; a failure is a warning.

    Raises:
        UsageError: this is no run of a workflow.
        BadDocumentError: NOTICES is no list of messages.
    """
    runner = need_runner(context)
    notices = read_notices(context.environ.get(NOTICES) or "[]", NOTICES)
    if job := context.environ.get(BROKEN):
        notices = (broken_notice(job, runner.run_url), *notices)
    _send(context, runner, notices)
    return ExitCode.DONE


async def waiting(context: Context) -> ExitCode:
    """Tell of each environment in ENVIRONMENTS whose job waits for a reviewer.

    Whether it does is read from GitHub; where that fails, it is a warning.

    Raises:
        UsageError: this is no run of a workflow, or ENVIRONMENTS is no list of names.
        MissingTokenError: GITHUB_TOKEN is not set.
    """
    runner = need_runner(context)
    notices: list[Notice] = []
    listening = telling_of(load_files([context.environments]).files)
    async with github_of(context.environ) as github:
        for name in (name for name in named(context.environ) if name in listening):
            try:
                reviewers = (await github.environment(name)).reviewers
            except GitHubError as error:
                _warn(runner, f"Whether {name} waits for a reviewer is not known: {error.what}")
                continue
            if reviewers:
                people = tuple(one.name for one in reviewers if one.name)
                notices.append(waiting_notice(name, people, runner.run_url))
    _send(context, runner, notices)
    return ExitCode.DONE


def _send(context: Context, runner: Runner, notices: Iterable[Notice]) -> None:
    loaded = load_files([context.environments])
    files = loaded.files
    if paths := sorted({fault.path for fault in loaded.faults}):
        _warn(runner, f"Who is told by {', '.join(paths)} is not known: there are faults in it.")
    wanted = heard(files, tuple(notices))
    warnings = tell(context, files, wanted, silent=False)
    for warning in warnings:
        _warn(runner, warning)
    if not wanted:
        context.out.print("There is nothing to tell.")
    elif not warnings:
        context.out.print(f"Told: {', '.join(notice.title for notice in wanted)}.", soft_wrap=True)


def _warn(runner: Runner, text: str) -> None:
    runner.annotate([Annotation("warning", text, "Notify")])

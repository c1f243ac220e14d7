"""`roost github comment`: write the plans and rehearsals of a pull request into one comment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roost.environment.flow_units import split_name
from roost.environment.redis import NAME as REDIS
from roost.environment.waker import NAME as WAKER
from roost.errors import BadEventError, ExitCode, GitHubError, RoostError
from roost.errors.command import Command
from roost.github.actions import Annotation, Runner
from roost.github.api import GitHub, github_of
from roost.github.heartbeat import look_for_schedule
from roost.operations.artifacts import document_paths
from roost.operations.context import Context
from roost.plan.approval import approve
from roost.plan.document_reader import read_plan
from roost.plan.steps import Plan
from roost.report.comment import Marker, planned_comment
from roost.report.markdown import text
from roost.report.plan_section import PlannedEnvironment
from roost.report.rehearsal import read_rehearsal, rehearsal_lines
from roost.workflows.artifact_hashes import REST, ReceivedPlans, named, planned_names, receive
from roost.workflows.job import need_runner
from roost.workflows.pr_comment import find_comment, write_comment

SUSPECT = "Check the code that this pull request runs, then run the workflow again."
FORGED = f"The plan that the job Plan wrote is missing, or was changed. {SUSPECT}"


@dataclass(frozen=True)
class Subject:
    """The pull request of this run."""

    number: int
    head: str
    url: str


async def comment(context: Context, *, plans: Path, rehearsals: Path) -> ExitCode:
    """Write the comment about the environments in ENVIRONMENTS; none is created without one.

    A merge approves what the comment shows. So the comment is not changed once the pull request is
    closed, nor for a commit that is not its last; the run succeeds all the same.

    Returns:
        ERROR where a plan is not the one that the job Plan wrote.

    Raises:
        UsageError: this is no run of a workflow, or a list of environments cannot be read.
        BadEventError: the run is about no pull request.
        BadDocumentError: a file of another job is no document.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    subject = subject_of(runner)
    names = planned_names(context.environ, named(context.environ))
    handed = receive(context.environ, plans, names)
    entries, marker = gather(subject, names, handed, document_paths(rehearsals))
    code = report_forged(runner, handed)
    async with github_of(context.environ) as github:
        overdue = await schedule_notes(context, github)
        remarks = tuple(notes(context.environ))
        body = planned_comment(marker, entries, (*remarks, *overdue), runner.run_url)
        stopped = await ended(github, subject)
        runner.summary(f"{text(stopped)}\n\n{body}" if stopped else body)
        if stopped:
            context.out.print(stopped, markup=False, soft_wrap=True)
            return code
        if not entries and not remarks and await find_comment(github, subject.number) is None:
            context.out.print("No environment changes: there is nothing to comment.")
            return code
        written = await write_comment(github, subject.number, lambda _: body)
    context.out.print(f"The plan is at {written.url}", soft_wrap=True)
    return code


async def ended(github: GitHub, subject: Subject) -> str:
    """Return why this run must not change the comment; empty where it may."""
    pull = await github.pull(subject.number)
    if pull.merged or pull.state != "open":
        state = "merged" if pull.merged else "closed"
        return (
            f"Pull request {subject.number} is {state}, so its comment stays as it is. The plan of "
            "this run approves nothing."
        )
    if pull.head_sha != subject.head:
        return (
            f"Pull request {subject.number} has a newer commit, so its comment is left to "
            f"the run of that commit ({pull.head_sha[:10]}). This run planned {subject.head[:10]}."
        )
    return ""


def report_forged(runner: Runner, handed: ReceivedPlans) -> ExitCode:
    """Annotate the run with the files that are not from the job Plan, and were ignored."""
    files = [*handed.strangers, *(f"{name}.json" for name in sorted(handed.lost))]
    if not files:
        return ExitCode.DONE
    message = f"Ignored, because the job Plan did not write them: {', '.join(files)}. {SUSPECT}"
    runner.annotate([Annotation("error", message, "Not the plan that was made")])
    return ExitCode.ERROR


async def schedule_notes(context: Context, github: GitHub) -> tuple[str, ...]:
    """Return a sentence where the drift schedule does not run, which it cannot report itself."""
    try:
        overdue = await look_for_schedule(github, datetime.now(UTC))
    except GitHubError as error:
        context.progress.print(
            f"Whether the drift schedule runs could not be read: {error}", markup=False
        )
        return ()
    return (overdue,) if overdue else ()


def subject_of(runner: Runner) -> Subject:
    """Return the pull request of the event.

    Raises:
        BadEventError: the event is not about a pull request.
    """
    pull = runner.event().get("pull_request")
    try:
        return Subject(int(pull["number"]), str(pull["head"]["sha"]), str(pull["html_url"]))  # type: ignore[index] # other types raise, and are reported
    except (TypeError, KeyError, ValueError) as error:
        raise BadEventError(
            "The event is not about a pull request.",
            advice="Run this in a workflow that `pull_request` starts.",
        ) from error


def gather(
    subject: Subject, names: Iterable[str], handed: ReceivedPlans, rehearsals: Mapping[str, Path]
) -> tuple[list[PlannedEnvironment], Marker]:
    """Return the comment's entry for each environment, and the marker of what the merge approves."""
    entries, approved = [], {}
    for name in sorted(names):
        rehearsal = _rehearsed(rehearsals.get(name))
        document = handed.documents.get(name)
        if document is None or "error" in document:
            failure = FORGED if name in handed.lost else _failure(document)
            entries.append(PlannedEnvironment(_nothing(name), failure=failure, rehearsal=rehearsal))
            continue
        plan, cost, digest = read_plan(document, f"{name}.json")
        entries.append(PlannedEnvironment(plan, cost, digest, rehearsal=rehearsal))
        if not plan.refusals:
            approved[name] = approve(document, subject.url)
    return entries, Marker(subject.head, approved)


def _rehearsed(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return rehearsal_lines(read_rehearsal(path))
    except RoostError:
        # The pull request's own code wrote the file, so it may contain anything.
        return "Rehearsal: **its result cannot be read.**"


def _failure(document: Mapping[str, Any] | None) -> str:
    error = (document or {}).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "The job Plan ended before it wrote a plan; see its log.")[:2000]


def _nothing(name: str) -> Plan:
    return Plan(name, "", (), (), (), {})


def notes(environ: Mapping[str, str]) -> Iterator[str]:
    """Return remarks beside the plans: on removed files, and environments without a job."""
    try:
        removed = json.loads(environ.get("REMOVED") or "[]")
    except ValueError:
        return
    for name in removed if isinstance(removed, list) else []:
        if part := split_name(str(name))[1]:
            what = {WAKER: WAKER, REDIS: "Redis"}.get(part, "flow server")
            yield (
                f"The {what} `{name}` is no longer in its file. Its app stays, and costs money, until "
                f"somebody runs `{Command('destroy', str(name)).typed}`, which needs the entry: destroy "
                "it first, then remove the entry."
            )
            continue
        yield (
            f"The file of `{name}` is removed. Its server stays, and costs money, until somebody runs the "
            "destroy workflow, which needs the file: destroy the server first, then remove the file."
        )
    if rest := named(environ, REST):
        listed = ", ".join(f"`{name}`" for name in rest)
        yield (
            f"Not rehearsed, because GitHub starts no more jobs from one list: {listed}. The merge deploys the "
            "first of the list too, and reports how to deploy the others."
        )

"""`roost github comment`: what the plans and rehearsals of a pull request found, in one comment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roost.errors import BadEventError, ExitCode, GitHubError, RoostError
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
from roost.workflows.artifact_hashes import REST, Handed, named, receive
from roost.workflows.open_pull import need_runner
from roost.workflows.pr_comment import find_comment, write_comment

SUSPECT = "Look at what this pull request runs, then run the workflow again."
FORGED = f"What the job that plans wrote is not there any more, or is another one. {SUSPECT}"


@dataclass(frozen=True)
class Subject:
    """The pull request that this run is about."""

    number: int
    head: str
    url: str


async def comment(context: Context, *, plans: Path, rehearsals: Path) -> ExitCode:
    """Write the comment of this pull request; none where nothing is to be told and none is there.

    A merge approves what the comment shows. So nothing is written into it once the pull request
    is not open, nor for a commit that is not its last; that is no failure of this run.

    It is about the environments that ENVIRONMENTS names, and ends with 1 where somebody left
    another plan than the job that plans.

    Raises:
        UsageError: this is no run of a workflow, or it is about no pull request.
        BadDocumentError: what another job left is not what it should be.
        GitHubError: GitHub refuses or fails.
    """
    runner = need_runner(context)
    subject = subject_of(runner)
    names = named(context.environ)
    handed = receive(context.environ, plans, names)
    entries, marker = gather(subject, names, handed, document_paths(rehearsals))
    code = tell_forged(runner, handed)
    async with github_of(context.environ) as github:
        silent = await silence(context, github)
        told = tuple(notes(context.environ))
        body = planned_comment(marker, entries, (*told, *silent), runner.run_url)
        stopped = await ended(github, subject)
        runner.summary(f"{text(stopped)}\n\n{body}" if stopped else body)
        if stopped:
            context.out.print(stopped, markup=False, soft_wrap=True)
            return code
        news = bool(entries or told)
        if not news and await find_comment(github, subject.number) is None:
            context.out.print("No environment changes: there is nothing to comment.")
            return code
        written = await write_comment(github, subject.number, lambda _: body)
    context.out.print(f"The plan is at {written.url}", soft_wrap=True)
    return code


async def ended(github: GitHub, subject: Subject) -> str:
    """Return why this run may not write into the comment; empty where it may."""
    pull = await github.pull(subject.number)
    if pull.merged or pull.state != "open":
        state = "merged" if pull.merged else "closed"
        return (
            f"Pull request {subject.number} is {state}, so its comment stays as it is. The plan of "
            "this run approves nothing."
        )
    if pull.head_sha != subject.head:
        return (
            f"Pull request {subject.number} is at another commit by now, so its comment is left to "
            f"the run of that commit ({pull.head_sha[:10]}). This run planned {subject.head[:10]}."
        )
    return ""


def tell_forged(runner: Runner, handed: Handed) -> ExitCode:
    """Say at the top of the run what is not from the job that plans, and was left out."""
    files = [*handed.strangers, *(f"{name}.json" for name in sorted(handed.lost))]
    if not files:
        return ExitCode.DONE
    message = f"Left out, as the job that plans did not write it so: {', '.join(files)}. {SUSPECT}"
    runner.annotate([Annotation("error", message, "Not the plan that was made")])
    return ExitCode.ERROR


async def silence(context: Context, github: GitHub) -> tuple[str, ...]:
    """Report that nobody looks for drift, where that is so: a schedule that is off tells nobody."""
    try:
        told = await look_for_schedule(github, datetime.now(UTC))
    except GitHubError as error:
        context.progress.print(f"Whether drift is looked for is not known: {error}", markup=False)
        return ()
    return (told,) if told else ()


def subject_of(runner: Runner) -> Subject:
    """Return the pull request of the event.

    Raises:
        BadEventError: the event is another one.
    """
    pull = runner.event().get("pull_request")
    try:
        return Subject(int(pull["number"]), str(pull["head"]["sha"]), str(pull["html_url"]))  # type: ignore[index] # anything else is told
    except (TypeError, KeyError, ValueError) as error:
        raise BadEventError(
            "The event is not about a pull request.",
            advice="Run this in a workflow that `pull_request` starts.",
        ) from error


def gather(
    subject: Subject, names: Iterable[str], handed: Handed, rehearsals: Mapping[str, Path]
) -> tuple[list[PlannedEnvironment], Marker]:
    """Put together what is told of each environment, and what its merge approves."""
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
        # The pull request's own code wrote it; that it is junk is its own affair, and told.
        return "Rehearsal: **its result cannot be read.**"


def _failure(document: Mapping[str, Any] | None) -> str:
    error = (document or {}).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "The job that plans did not get so far; see its log.")[:2000]


def _nothing(name: str) -> Plan:
    return Plan(name, "", (), (), (), {})


def notes(environ: Mapping[str, str]) -> Iterator[str]:
    """Return what is beside the plans: environments whose file this change removes."""
    try:
        removed = json.loads(environ.get("REMOVED") or "[]")
    except ValueError:
        return
    for name in removed if isinstance(removed, list) else []:
        yield (
            f"The file of `{name}` is removed. Its server stays, and costs what it costs, until somebody "
            "runs the destroy workflow, which needs the file: destroy first, then remove it."
        )
    if rest := named(environ, REST):
        listed = ", ".join(f"`{name}`" for name in rest)
        yield (
            f"Not rehearsed, as GitHub starts no more jobs from one list: {listed}. The merge deploys the "
            "first of the list as well, and says how to deploy the others."
        )

"""`roost github drift`: compare all environments with their files, for the jobs that follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from roost.commands.drift import compare_all, report, summary, watched, write_result
from roost.environment.flow_units import split_name
from roost.environment.load import EnvironmentFile, environment_names, load_files
from roost.environment.starter import is_example
from roost.errors import ExitCode, RoostError
from roost.errors.command import Command
from roost.fly.token import SOON, token_ends
from roost.github.actions import Annotation, Runner, runner_of
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.drift_result import DriftFound, Totals
from roost.operations.fly_target import fly_token
from roost.plan.drift import may_heal, only_ended
from roost.plan.steps import Json
from roost.report.drift import (
    SUMMARY,
    DriftResult,
    RunResult,
    TokenFound,
    budget_line,
    drift_summary,
    token_line,
)
from roost.report.markdown import text
from roost.report.wording import counted, one_line
from roost.workflows.changed import MOST_JOBS
from roost.workflows.job import need_read_token

NOTHING = (
    "There is no server to watch yet: no environment file but the template's examples. Create one: "
    f"`{Command('init')}`"
)


async def drift(context: Context, results: Path | None) -> ExitCode:
    """Compare all environments with a read-only token.

    In a workflow drift does not fail the run: the jobs that follow read the outputs, people read
    the issue, and a failed run means that an environment could not be read. Where nobody has a
    server yet, no token is needed.

    Returns:
        DONE if all is clean, CHANGES for drift (outside of a workflow), ERROR for errors.

    Raises:
        UsageError: there is no environment file, outside of a workflow.
        MissingTokenError: no Fly token is set.
    """
    runner = runner_of(context.environ)
    loaded = watched(context)
    if runner and not loaded.files and not loaded.faults:
        return nothing_to_watch(context, runner, results)
    token = look_at_token(context, datetime.now(UTC))
    totals = await compare_all(context, lambda found: context.out.print(report(found)))
    totals.found = await without_new(context, totals.found)
    context.out.print(summary(totals))
    if token.soon:
        context.out.print(token_line(token), markup=False, soft_wrap=True)
    run = run_document(context, totals, token)
    scheduled = runner is not None and runner.event_name == "schedule"
    now = datetime.now(UTC)
    documents = [found_document(found, scheduled=scheduled, now=now) for found in totals.found]
    documents = with_jobs(documents)
    for document in documents:
        write_result(results, document["environment"], document)
    write_result(results, SUMMARY, run)
    if runner is None:
        return outcome(totals)
    runner.output("backup", json.dumps(to_back_up(loaded.files, totals.found)))
    write_to_run(runner, totals, documents, run)
    return ExitCode.ERROR if outcome(totals) is ExitCode.ERROR else ExitCode.DONE


def nothing_to_watch(context: Context, runner: Runner, results: Path | None) -> ExitCode:
    """Report that there is no server yet, to people and to the jobs that follow, without any call."""
    # With the note, the job that follows does not report an app as gone: Fly was not read.
    run = RunResult(environments=(), notes=(NOTHING,))
    write_result(results, SUMMARY, {"format": 1, **run.model_dump(mode="json")})
    lists = (("heal", "[]"), ("end", "[]"), ("backup", "[]"))
    for name, value in (*lists, ("any", "false"), ("state", "clean")):
        runner.output(name, value)
    runner.summary(f"## Roost drift\n\n{text(NOTHING)}")
    context.out.print(NOTHING, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def without_new(context: Context, found: Sequence[DriftFound]) -> list[DriftFound]:
    """Mark environments that were never deployed, as distinct from those whose server is gone.

    Fly has no machine in either case. A server that was proved once has a record on GitHub; where
    the records cannot be read, an empty app counts as one whose server is gone.
    """
    if not context.environ.get("GITHUB_TOKEN") or not any(one.is_empty for one in found):
        return list(found)
    try:
        async with github_of(context.environ) as github:
            return [
                replace(one, new=True, differences=())
                if one.is_empty
                and not one.error
                and not await github.deployments(split_name(one.name)[0])
                else one
                for one in found
            ]
    except RoostError as error:
        context.progress.print(
            f"The records of deployments could not be read: {error}", markup=False
        )
        return list(found)


def to_back_up(files: Sequence[EnvironmentFile], found: Sequence[DriftFound]) -> list[str]:
    """Return the environments whose dumps go to a bucket, but for those that were never deployed.

    What Fly says of the others does not matter: their databases are elsewhere.
    """
    new = {one.name for one in found if one.new}
    kept = [file.name for file in files if file.beside is None and file.environment.backups]
    return [name for name in kept if name not in new][:MOST_JOBS]


def outcome(totals: Totals) -> ExitCode:
    """Return one of three codes: DONE for clean, CHANGES for drift, ERROR for anything else."""
    done = totals.code in {ExitCode.DONE, ExitCode.CHANGES}
    return totals.code if done else ExitCode.ERROR


def look_at_token(context: Context, now: datetime) -> TokenFound:
    """Return when this run's token expires, read from the token itself.

    Raises:
        MissingTokenError: no Fly token is set.
    """
    need_read_token(context)
    ends = token_ends(fly_token(context.environ))
    return TokenFound(ends=ends, soon=ends is not None and ends - now < SOON)


def found_document(found: DriftFound, *, scheduled: bool, now: datetime) -> Json:
    """Return the result of one environment, with the job that restores it.

    On the schedule a protected environment is not healed: the job could wait for a reviewer for days
    and block the queue of that server, with it a rollback. Expired overrides are ended all the same:
    their end was approved together with their start.
    """
    ended = not found.error and only_ended(found.differences)
    protected = found.planned is not None and found.planned.file.environment.protected
    wanted = heals_itself(found)
    heals = wanted and not (scheduled and protected)
    left = wanted and not heals and not ended
    put_back = {"heal": heals, "end": ended and not heals, "by_button": left}
    more = {"protected": protected, "down": found.down(now)}
    return {"format": 1, **found.document(), **put_back, **more}


def with_jobs(documents: list[Json]) -> list[Json]:
    """Return the results with at most MOST_JOBS to restore; the next run restores the others."""
    for key in ("heal", "end"):
        chosen = [d["environment"] for d in documents if d[key]][:MOST_JOBS]
        documents = [{**d, key: d["environment"] in chosen} for d in documents]
    return documents


def heals_itself(found: DriftFound) -> bool:
    """Return whether the file asks for healing, and all differences may be healed."""
    asks = found.planned is not None and found.planned.file.environment.drift.heal
    return asks and not found.error and bool(found.differences) and may_heal(found.differences)


def run_document(context: Context, totals: Totals, token: TokenFound) -> Json:
    """Return the part of the results that belongs to no single environment."""
    document = totals.document()
    return {
        "format": 1,
        # An issue about a name that is not listed is closed.
        "environments": sorted(
            (environment_names(context.environments) | {found.name for found in totals.found})
            - examples_of(context)
        ),
        "orphans": document["orphans"],
        "notes": document["notes"],
        "budgets": document["budgets"],
        "token": token.model_dump(mode="json"),
    }


def examples_of(context: Context) -> frozenset[str]:
    """Return the environments that are the template's examples."""
    return frozenset(f.name for f in load_files([context.environments]).files if is_example(f))


def write_to_run(runner: Runner, totals: Totals, documents: list[Json], run: Json) -> None:
    """Write outputs, summary and annotations."""
    heal, end = jobs_of(documents, "heal"), jobs_of(documents, "end")
    states = {ExitCode.DONE: "clean", ExitCode.CHANGES: "drift"}
    runner.output("heal", json.dumps(heal))
    runner.output("end", json.dumps(end))
    runner.output("any", json.dumps(bool(heal or end)))
    runner.output("state", states.get(outcome(totals), "error"))
    read = RunResult.model_validate_json(json.dumps(run))
    results = [DriftResult.model_validate_json(json.dumps(document)) for document in documents]
    runner.summary(drift_summary(results, read))
    runner.annotate(messages(totals, read.token))


def jobs_of(documents: list[Json], key: str) -> list[str]:
    """Return the environments that need a job; its job also heals its flow servers."""
    chosen = [split_name(document["environment"])[0] for document in documents if document[key]]
    return list(dict.fromkeys(chosen))


def messages(totals: Totals, token: TokenFound) -> list[Annotation]:
    """Return the annotations of the run: one for each environment that needs attention."""
    shown = [Annotation("warning", token_line(token), "Fly token")] if token.soon else []
    for found in totals.found:
        if found.error:
            message = f"{found.name}: {one_line(str(found.error))}"
            shown.append(Annotation("error", message, f"Drift: {found.error.word}"))
        elif found.new:
            message = (
                f"{found.name} was never deployed: see the Deploy run of the commit that added it."
            )
            shown.append(Annotation("notice", message, "Drift"))
        elif found.differences:
            count = len(found.differences)
            message = f"{found.name} differs from its file ({counted(count, 'difference')})."
            shown.append(Annotation("warning", message, "Drift"))
    shown += [
        Annotation("warning", budget_line(budget), "Budget")
        for budget in totals.budgets
        if budget.over
    ]
    shown += [
        Annotation("warning", f"{orphan.app} is orphaned: {orphan.why}.", "Drift")
        for orphan in totals.orphans.apps
    ]
    return shown

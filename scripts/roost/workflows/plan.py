"""`roost github plan`: plan the environments of a pull request, for the job Comment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roost.environment.load import load_environment, load_unit
from roost.environment.sops_file import real_path
from roost.environment.units import units
from roost.errors import ExitCode, RoostError, UsageError
from roost.github.actions import Annotation, Runner, runner_of
from roost.operations.artifacts import write_document
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.planning import Planned, make_plan
from roost.plan.document import FORMAT
from roost.plan.secrets import moved_sources
from roost.plan.steps import Plan
from roost.report.plan_section import WHOLE, PlannedEnvironment, plan_section
from roost.report.text import plan_report
from roost.workflows.artifact_hashes import hand_over, named
from roost.workflows.job import need_read_token

ELSEWHERE = "The JSON files in the artifact `plans` of this run have the whole plans."


async def plan(context: Context, names: list[str], *, results: Path) -> ExitCode:
    """Plan each environment and write its document; a failure does not stop the others.

    In a workflow the environments may be given in ENVIRONMENTS. The hashes of the documents are set
    as an output, so that the job Comment can verify them.

    Raises:
        UsageError: no environment is named, or a link leads out of the checkout.
    """
    wanted = tuple(names) or named(context.environ)
    if not wanted:
        raise UsageError("There is no environment to plan.", advice="Name at least one.")
    check_contained([context.environments, context.deploy])
    runner = runner_of(context.environ)
    codes = []
    done: list[str] = []
    for name in (unit for environment in wanted for unit in _unit_names(context, environment)):
        codes.append(await plan_one(context, name, results))
        done.append(name)
        if runner:  # after each plan, because a job that is stopped early must keep its hashes
            hand_over(runner, results, done)
    return max(codes)


def _unit_names(context: Context, name: str) -> tuple[str, ...]:
    """Return an environment's name and those of its flow servers; only the first if it is invalid."""
    try:
        file = load_environment(name, context.environments)
    except RoostError:  # planning it reports the error
        return (name,)
    return tuple(unit.name for unit in units(file))


async def plan_one(context: Context, name: str, results: Path) -> ExitCode:
    """Plan one server or flow server, write its document, and show it."""
    runner = runner_of(context.environ)
    try:
        need_read_token(context)
        file = load_unit(name, context.environments)
        async with connect(context, local=False) as target:
            planned = await make_plan(context, file, target)
        planned = replace(planned, plan=with_moved_sources(context, planned.plan))
    except RoostError as error:
        write_document(results, name, failure(name, error))
        context.progress.print(f"{name}: error [{error.word}]: {error}", markup=False)
        if runner:
            annotation = Annotation("error", str(error), f"{name} could not be planned")
            runner.annotate([annotation])
        return ExitCode(error.exit_code)
    write_document(results, name, planned.document())
    context.out.print(plan_report(planned.plan, planned.cost))
    if runner:
        summarize(runner, planned)
    return ExitCode.BAD_INPUT if planned.plan.refusals else ExitCode.DONE


def with_moved_sources(context: Context, plan: Plan) -> Plan:
    """Add a warning for each secret whose source differs from that in the trusted checkout.

    In the job Plan the trusted checkout has the base's files, and the planned ones are those of the
    pull request.
    """
    base = context.project / "environments"
    if base.resolve() == context.environments.resolve():
        return plan
    try:
        before = load_unit(plan.environment, base).environment
    except RoostError:  # a new environment, or one that was invalid before
        return plan
    sources = {secret.name: secret.source.description for secret in before.secrets}
    return replace(plan, warnings=(*moved_sources(sources, plan.sources), *plan.warnings))


def failure(name: str, error: RoostError) -> dict[str, Any]:
    """Return the document of an environment that could not be planned."""
    return {
        "format": FORMAT,
        "environment": name,
        "error": {"word": error.word, "message": str(error)},
    }


def summarize(runner: Runner, planned: Planned) -> None:
    """Add the whole plan to the page of the run, and annotate refusals."""
    section = plan_section(PlannedEnvironment(planned.plan, planned.cost), WHOLE)
    runner.summary(section, rest=ELSEWHERE)
    runner.annotate(_refusals(planned.plan, planned.file.path))


def _refusals(plan: Plan, path: Path) -> Iterator[Annotation]:
    for refusal in plan.refusals:
        yield Annotation(
            "error",
            f"{refusal.key}: {refusal.what}. {refusal.advice}",
            "Cannot be applied",
            # GitHub needs the path in the repository.
            f"environments/{path.name}",
            1,
        )


def check_contained(folders: Sequence[Path]) -> None:
    """Refuse links out of the checkout: a pull request's files are read in a job with a token.

    Raises:
        UsageError: a link in a folder leads out of the folder's checkout.
    """
    for link in _links(folders):
        top = next(real_path(f).parent for f in folders if link.is_relative_to(f))
        if not real_path(link).is_relative_to(top):
            raise UsageError(
                "This link leads out of the repository.",
                where=str(link),
                advice="Replace it with the file itself. Nothing was read.",
            )


def _links(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_symlink():
            yield folder
        for place, folder_names, file_names in os.walk(folder, followlinks=False):
            paths = (Path(place) / name for name in (*folder_names, *file_names))
            yield from (path for path in paths if path.is_symlink())

"""`roost github plan`: the plans of a pull request, as documents for the job that comments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roost.environment.load import load_environment
from roost.errors import ExitCode, RoostError, UsageError
from roost.github.actions import Annotation, Runner, runner_of
from roost.operations.artifacts import write_document
from roost.operations.changes import Planned, make_plan
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.plan.document import FORMAT
from roost.plan.secrets import moved_sources
from roost.plan.steps import Plan
from roost.report.markdown import WHOLE, PlannedEnvironment, plan_section
from roost.report.text import plan_report
from roost.workflows.artifact_hashes import hand_over, named
from roost.workflows.job import need_read_token

ELSEWHERE = "The JSON files in the artifact `plans` of this run have all of it."


async def plan(context: Context, names: list[str], results: Path) -> ExitCode:
    """Plan each environment, and write what came of it; one that cannot be planned hides none.

    In a workflow the environments may stand in ENVIRONMENTS instead, and the hashes of what was
    written are an output, by which the job that comments knows it.

    Raises:
        UsageError: no environment is named, or the files reach out of their checkout.
    """
    wanted = tuple(names) or named(context.environ)
    if not wanted:
        raise UsageError("There is no environment to plan.", advice="Name at least one.")
    check_contained([context.environments, context.deploy])
    runner = runner_of(context.environ)
    codes = []
    for count, name in enumerate(wanted, start=1):
        codes.append(await plan_one(context, name, results))
        if runner:  # each time anew: what is planned counts, though the job may end early
            hand_over(runner, results, wanted[:count])
    return max(codes)


async def plan_one(context: Context, name: str, results: Path) -> ExitCode:
    """Plan one environment, write the document, and tell it."""
    runner = runner_of(context.environ)
    try:
        need_read_token(context)
        file = load_environment(name, context.environments)
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
    """Return a plan that warns of each secret whose source is another one than in our own files.

    In a pull request's job these are the base's, and the files that are planned the request's.
    """
    base = context.project / "environments"
    if base.resolve() == context.environments.resolve():
        return plan
    try:
        before = load_environment(plan.environment, base).environment
    except RoostError:  # a new environment, or one that could not be deployed as it was
        return plan
    sources = {secret.name: secret.source.told for secret in before.secrets}
    return replace(plan, warnings=(*moved_sources(sources, plan.sources), *plan.warnings))


def failure(name: str, error: RoostError) -> dict[str, Any]:
    """Return the document of an environment that could not be planned."""
    return {
        "format": FORMAT,
        "environment": name,
        "error": {"word": error.word, "message": str(error)},
    }


def summarize(runner: Runner, planned: Planned) -> None:
    """Put the whole plan on the page of the run, and what is refused beside it."""
    section = plan_section(PlannedEnvironment(planned.plan, planned.cost), WHOLE)
    runner.summary(section, rest=ELSEWHERE)
    runner.annotate(_refusals(planned.plan, planned.file.path))


def _refusals(plan: Plan, path: Path) -> Iterator[Annotation]:
    for refusal in plan.refusals:
        yield Annotation(
            "error",
            f"{refusal.key}: {refusal.what}. {refusal.advice}",
            "Cannot be applied",
            # GitHub knows files by their place in the repository.
            f"environments/{path.name}",
            1,
        )


def check_contained(folders: Sequence[Path]) -> None:
    """Refuse files that lead elsewhere: a pull request's files are read beside a token.

    Raises:
        UsageError: a link in a folder leads out of the checkout that the folder is in.
    """
    for link in _links(folders):
        top = next(f.resolve().parent for f in folders if link.is_relative_to(f))
        if not link.resolve().is_relative_to(top):
            raise UsageError(
                "This link leads out of the repository.",
                where=str(link),
                advice="Put the file itself in its place. Nothing was read.",
            )


def _links(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_symlink():
            yield folder
        for place, folder_names, file_names in os.walk(folder, followlinks=False):
            paths = (Path(place) / name for name in (*folder_names, *file_names))
            yield from (path for path in paths if path.is_symlink())

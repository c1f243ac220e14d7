"""`roost github changed`: find the environments that a change affects, for the jobs that follow."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from roost.environment.flow_units import split_name
from roost.environment.load import (
    EnvironmentFile,
    Loaded,
    environment_names,
    load_environment,
    load_files,
)
from roost.environment.model import Environment
from roost.environment.sops_file import sops_path
from roost.environment.starter import is_example
from roost.environment.units import beside, units
from roost.errors import ExitCode, InvalidFilesError, MissingLockError
from roost.github.actions import Runner, runner_of
from roost.operations.context import Context
from roost.operations.image_parts import image_for
from roost.report.markdown import text
from roost.workflows.base_checkout import NOTHING, is_lost, open_base
from roost.workflows.notify import telling_of

MOST_JOBS = 256
"""GitHub starts this many jobs from one matrix, and fails a workflow with a longer list."""

PULL_REQUEST = "pull_request"
DEPENDABOT = "dependabot[bot]"
"""The actor of runs without secrets; a person's push to Dependabot's branch starts a run with them."""
_NOT_DEPLOYED = "A merge without a plan deploys nothing before somebody approves it by its digest."


@dataclass(frozen=True)
class Changed:
    """The environments that a change affects.

    Args:
        open: those that are not protected; they are deployed first.
        protected: those that are protected, before the change or after it.
        removed: those whose file is gone, and flow servers that are no longer in theirs; nothing is
            done to their apps.
        examples: example files of the template, which are ignored, because nobody has such servers.
        lost: whether the commit to compare with is not here, so that every environment counts.
        tell: those whose file names who is told that a deploy waits for an approval.
    """

    open: tuple[str, ...]
    protected: tuple[str, ...]
    removed: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    lost: bool = False
    tell: frozenset[str] = frozenset()

    @property
    def environments(self) -> tuple[str, ...]:
        """All changed environments, sorted."""
        return tuple(sorted((*self.open, *self.protected)))

    def document(self) -> dict[str, list[str]]:
        """Return the result as JSON."""
        return {
            "environments": list(self.environments),
            "open": list(self.open),
            "protected": list(self.protected),
            "removed": list(self.removed),
        }


def changed(context: Context, *, base: str, name: str, as_json: bool) -> ExitCode:
    """Print and output the environments that differ from another commit, or the one that is named.

    Files are compared by the environments that they describe, not by their text.

    Raises:
        InvalidFilesError: a file has faults.
        UsageError: the other commit is not here.
        UnknownEnvironmentError: there is no environment of that name.
    """
    found = only(context, name) if name else find_changed(context, base)
    remarks = list(_remarks(found))
    if runner := runner_of(context.environ):
        for key, value in _outputs(found).items():
            runner.output(key, json.dumps(value))
        on_page = [*remarks, *no_plan(runner, found.environments)]
        runner.summary("\n\n".join(text(line) for line in on_page))
    if as_json:
        context.out.print_json(json.dumps(found.document()))
        return ExitCode.DONE
    for changing in found.environments:
        protected = " (protected)" if changing in found.protected else ""
        context.out.print(f"{changing}{protected}", markup=False)
    for gone in found.removed:
        what = (
            "it is no longer in its file; its app"
            if split_name(gone)[1]
            else "its file is gone; its server"
        )
        context.out.print(f"{gone}: {what} stays until it is destroyed.")
    for line in remarks:
        context.out.print(line, markup=False, soft_wrap=True)
    if not found.environments and not found.removed:
        context.out.print("No environment changes.")
    return ExitCode.DONE


def _outputs(found: Changed) -> dict[str, Any]:
    """Return the outputs for the jobs that follow; lists for matrices are cut to MOST_JOBS."""
    return {
        **found.document(),
        "open": found.open[:MOST_JOBS],
        "protected": found.protected[:MOST_JOBS],
        "first": found.environments[:MOST_JOBS],
        "rest": found.environments[MOST_JOBS:],
        "any": bool(found.environments),
        "tell_open": [name for name in found.open if name in found.tell][:MOST_JOBS],
        "tell_protected": [name for name in found.protected if name in found.tell][:MOST_JOBS],
    }


def _remarks(found: Changed) -> Iterator[str]:
    """Return remarks about the lists, for people."""
    if found.lost:
        yield (
            "The former head of the branch is not in this checkout, as after a forced push. So every "
            "environment counts as changed and as protected; where nothing differs, nothing is done."
        )
    if len(found.environments) > MOST_JOBS:
        yield (
            f"{len(found.environments)} environments change, and GitHub starts at most {MOST_JOBS} jobs "
            "from one list. The jobs that follow take the first of each list, and the last job names "
            "those that were left."
        )
    if found.examples:
        yield left_out(found.examples)


def left_out(examples: Iterable[str]) -> str:
    """Return a sentence about example files, which are still in a new copy of the template."""
    listed = shlex.join(examples)
    return (
        f"The template's examples describe nobody's servers, and are ignored. Remove them: "
        f"`git rm {listed}`; or choose another `app` in them."
    )


def no_plan(runner: Runner, environments: Sequence[str]) -> Iterator[str]:
    """Return why a pull request gets no plan, and how to get one; nothing where it gets a plan.

    GitHub gives no secrets to runs of forks and to runs that Dependabot starts.
    """
    if runner.event_name != PULL_REQUEST or not environments:
        return
    checked = "The files are checked and rehearsed, but there is no plan and no comment:"
    if is_of_a_fork(runner):
        yield (
            f"{checked} GitHub gives no secrets to runs of a fork. To get a plan, push the branch to this "
            f"repository and open a pull request from there. {_NOT_DEPLOYED}"
        )
    elif runner.actor == DEPENDABOT:
        yield (
            f"{checked} GitHub gives no secrets to runs that Dependabot starts. To get a plan, close and "
            "reopen this pull request, or push a commit to its branch: then you start the run. "
            f"{_NOT_DEPLOYED}"
        )


def is_of_a_fork(runner: Runner) -> bool:
    """Return whether the pull request comes from another repository, or from a deleted one."""
    head: object = runner.event()
    for key in (PULL_REQUEST, "head", "repo", "full_name"):
        head = head.get(key) if isinstance(head, dict) else None
    return head != runner.repository


def only(context: Context, name: str) -> Changed:
    """Return one environment as changed."""
    file = load_environment(name, context.environments)
    tell = telling_of([file])
    if file.environment.protected:
        return Changed((), (name,), tell=tell)
    return Changed((name,), (), tell=tell)


def find_changed(context: Context, base: str) -> Changed:
    """Find the environments that differ from a commit; all where there is none to compare with."""
    loaded = load_files([context.environments])
    if loaded.faults:
        raise InvalidFilesError(loaded.faults)
    lost = is_lost(context, base)
    with open_base(context, NOTHING if lost else base) as before:
        old = load_files([before.environments]) if before else Loaded((), ())
        known = {file.name: file for file in old.files}
        differing = [
            file
            for file in loaded.files
            if not is_example(file)
            and (
                before is None
                or file.name not in known
                or meaning(context, file) != _meaning_before(before, known[file.name])
            )
        ]
        gone = environment_names(before.environments) if before else frozenset()
    gone |= {unit.name for file in old.files if not is_example(file) for unit in beside(file)}
    # A former example has no server, so it is not reported as removed.
    names = {unit.name for f in loaded.files for unit in units(f)}
    names |= {f.name for f in old.files if is_example(f)}
    # Without the commit nobody knows whether an environment was protected.
    guarded = {f.name for f in differing if lost or _protected(f, known.get(f.name))}
    return Changed(
        tuple(sorted(file.name for file in differing if file.name not in guarded)),
        tuple(sorted(guarded)),
        tuple(sorted(gone - names)),
        tuple(sorted(f"environments/{f.path.name}" for f in loaded.files if is_example(f))),
        lost,
        telling_of(differing),
    )


def _protected(*files: EnvironmentFile | None) -> bool:
    """Return whether one version is protected: removing the protection needs approval too."""
    return any(file.environment.protected for file in files if file)


def meaning(context: Context, file: EnvironmentFile) -> tuple[object, ...]:
    """Return everything in the files that decides what an apply of the environment does.

    Each question whether a commit changes an environment is answered by this one function: a run
    that deploys a change and a run that leaves it to a newer commit must agree.
    """
    try:
        image = image_for(context, file)
    except MissingLockError:
        image = ""
    others = tuple(image_for(context, unit) for unit in beside(file))
    applied = _what_apply_reads(file.environment)
    contents = tuple(sops_path(file.repository, name).read_bytes() for name in applied.sops_files)
    return (applied, file.objects, image, others, contents)


def _what_apply_reads(environment: Environment) -> Environment:
    """Return an environment without what no apply reads: who gets messages, and whether drift is healed."""
    drift = environment.drift.model_copy(update={"heal": False})
    return environment.model_copy(update={"notify": (), "drift": drift})


def _meaning_before(context: Context, file: EnvironmentFile) -> tuple[object, ...]:
    """Return the meaning of the other commit's file; empty where the files beside it are broken."""
    try:
        return meaning(context, file)
    except (
        InvalidFilesError
    ):  # the folder of a flow server cannot be used; this change may correct it
        return ()

"""`roost github changed`: which environments a change concerns, for the jobs that follow."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from roost.environment.load import (
    EnvironmentFile,
    Loaded,
    environment_names,
    load_environment,
    load_files,
)
from roost.environment.sops_file import sops_path
from roost.environment.starter import is_example
from roost.errors import ExitCode, InvalidFilesError, MissingLockError
from roost.github.actions import runner_of
from roost.operations.context import Context
from roost.operations.fly_target import image_for
from roost.report.markdown import text
from roost.workflows.base_checkout import NOTHING, is_lost, open_base
from roost.workflows.unplanned import no_plan

MOST_JOBS = 256
"""GitHub starts so many jobs from one matrix, and fails a workflow whose list is longer."""


@dataclass(frozen=True)
class Changed:
    """What a change concerns.

    Args:
        open: environments that need nobody's leave; those that come first.
        protected: environments that are protected, before the change or after it.
        removed: environments whose file is gone. Nothing is done about their servers.
        examples: files of the template that are still there. Nobody has such servers, so they are
            neither changed nor removed.
        lost: whether the commit to compare with is not here, so that every environment is taken.
    """

    open: tuple[str, ...]
    protected: tuple[str, ...]
    removed: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    lost: bool = False

    @property
    def environments(self) -> tuple[str, ...]:
        """All that is there and changed."""
        return tuple(sorted((*self.open, *self.protected)))

    def document(self) -> dict[str, list[str]]:
        """Return it as JSON."""
        return {
            "environments": list(self.environments),
            "open": list(self.open),
            "protected": list(self.protected),
            "removed": list(self.removed),
        }


def changed(context: Context, *, base: str, name: str, as_json: bool) -> ExitCode:
    """Compare with another commit: by what files mean, not by their text; or take the one named.

    Raises:
        InvalidFilesError: a file has faults.
        UsageError: the other commit is not here.
        UnknownEnvironmentError: there is no environment of that name.
    """
    found = only(context, name) if name else find_changed(context, base)
    said = list(_said(found))
    if runner := runner_of(context.environ):
        for key, value in _outputs(found).items():
            runner.output(key, json.dumps(value))
        on_page = [*said, *no_plan(runner, found.environments)]
        runner.summary("\n\n".join(text(line) for line in on_page))
    if as_json:
        context.out.print_json(json.dumps(found.document()))
        return ExitCode.DONE
    for changing in found.environments:
        protected = " (protected)" if changing in found.protected else ""
        context.out.print(f"{changing}{protected}", markup=False)
    for gone in found.removed:
        context.out.print(f"{gone}: its file is gone; its server stays until it is destroyed.")
    for line in said:
        context.out.print(line, markup=False, soft_wrap=True)
    if not found.environments and not found.removed:
        context.out.print("No environment changes.")
    return ExitCode.DONE


def _outputs(found: Changed) -> dict[str, Any]:
    """Return what the jobs that follow are told; the lists that become matrices have an end."""
    return {
        **found.document(),
        "open": found.open[:MOST_JOBS],
        "protected": found.protected[:MOST_JOBS],
        "first": found.environments[:MOST_JOBS],
        "rest": found.environments[MOST_JOBS:],
        "any": bool(found.environments),
    }


def _said(found: Changed) -> Iterator[str]:
    """Return what is to be known beside the lists."""
    if found.lost:
        yield (
            "The commit that the branch stood at before is not here, as after a forced push. So every "
            "environment is taken, as if it were protected: where nothing differs, nothing is done."
        )
    if len(found.environments) > MOST_JOBS:
        yield (
            f"{len(found.environments)} environments change, and GitHub starts at most {MOST_JOBS} jobs "
            "from one list. The jobs that follow take the first of each list, and the last one says "
            "which were left."
        )
    if found.examples:
        yield left_out(found.examples)


def left_out(examples: Iterable[str]) -> str:
    """Return which files are left out: a repository made from the template is pushed whole, with them."""
    listed = shlex.join(examples)
    return (
        f"The template's examples are nobody's servers, and are left out. Remove them: "
        f"`git rm {listed}`; or choose another `app` in them."
    )


def only(context: Context, name: str) -> Changed:
    """Return one environment as if it changed."""
    protected = load_environment(name, context.environments).environment.protected
    return Changed((), (name,)) if protected else Changed((name,), ())


def find_changed(context: Context, base: str) -> Changed:
    """Find what differs; every environment, where there is nothing to compare with."""
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
                or meaning(context, file) != meaning(before, known[file.name])
            )
        ]
        gone = environment_names(before.environments) if before else frozenset()
    # What was an example has no server that could stay.
    names = {f.name for f in loaded.files} | {f.name for f in old.files if is_example(f)}
    # Of what is lost nobody knows whether it was protected.
    guarded = {f.name for f in differing if lost or _protected(f, known.get(f.name))}
    return Changed(
        tuple(sorted(file.name for file in differing if file.name not in guarded)),
        tuple(sorted(guarded)),
        tuple(sorted(gone - names)),
        tuple(sorted(f"environments/{f.path.name}" for f in loaded.files if is_example(f))),
        lost,
    )


def _protected(*files: EnvironmentFile | None) -> bool:
    """Whether it is protected, or was: taking the word away is a change to be approved as well."""
    return any(file.environment.protected for file in files if file)


def meaning(context: Context, file: EnvironmentFile) -> tuple[object, ...]:
    """Return all that decides what an apply of the environment would do.

    Whatever asks whether a commit changes an environment asks this: a run that is started for a
    change and a run that leaves it to a newer one must never be of two minds.
    """
    try:
        image = image_for(context, file)
    except MissingLockError:
        image = ""
    return (file.environment, image, tuple(_sops_contents(file)))


def _sops_contents(file: EnvironmentFile) -> Iterable[bytes]:
    for name in sorted({secret.source.sops for secret in file.environment.secrets} - {""}):
        yield sops_path(file.repository, name).read_bytes()

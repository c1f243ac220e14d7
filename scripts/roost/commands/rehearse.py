"""`roost rehearse`: try a change on a private local Fly before it is merged."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from roost.environment.load import EnvironmentFile, environment_names, load_environment
from roost.environment.rehearsal import confined, unplayable
from roost.errors import ExitCode, Fault, InvalidFilesError, RoostError, UsageError
from roost.operations.artifacts import write_document
from roost.operations.context import Context
from roost.operations.image_parts import image_for
from roost.plan.desired_state import desired_state
from roost.rehearsal.measurements import Base, Outcome, Revision
from roost.rehearsal.run import run_rehearsal, skipped
from roost.report.rehearsal import facts, verdict
from roost.report.text import status_table
from roost.report.wording import one_line

# The only variables that reach the local Fly and what it builds and runs. The others may hold
# tokens, and code of a pull request runs here.
KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "UV", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LOCALFLY_CACHE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    }
)
KEPT_PREFIXES = ("LC_", "UV_", "PIP_", "XDG_")
OURS = ("ROOST_ENVIRONMENTS", "ROOST_DEPLOY")
"""Variables that name the head's folders; the base has its own."""
_MB = 1024 * 1024


async def rehearse(
    context: Context,
    names: Sequence[str],
    *,
    base: Path | None,
    results: Path | None,
    as_json: bool,
) -> ExitCode:
    """Rehearse each environment's change, also after a failure; return the worst exit code.

    Raises:
        RoostError: an argument or a file is invalid; nothing was started.
    """
    inside = replace(context, environ=kept(context))
    heads = [Revision(inside, file) for file in load_all(inside, names)]
    for head in heads:
        image_for(inside, head.file)  # fails early on a version without a lock
    before = base_context(inside, base) if base else None
    outcomes = []
    for head in heads:
        outcome = await rehearse_one(head, before)
        outcomes.append(outcome)
        print_outcome(context, outcome, quiet=as_json)
        if results:
            write_document(results, outcome.rehearsal.environment, outcome.rehearsal.document())
    if as_json:
        documents = [outcome.rehearsal.document() for outcome in outcomes]
        context.out.print_json(json.dumps({"rehearsals": documents}))
    return max(outcome.code for outcome in outcomes)


def kept(context: Context) -> dict[str, str]:
    """Return the variables that code of a pull request may read."""
    environ = {
        name: value
        for name, value in context.environ.items()
        if name in OURS or name.upper() in KEPT or name.startswith(KEPT_PREFIXES)
    }
    # Images are cached where the user's own local Fly caches them, so that each is built once.
    return {"LOCALFLY_CACHE": str(context.local_home / "cache"), **environ}


def load_all(context: Context, names: Sequence[str]) -> list[EnvironmentFile]:
    """Load each environment once, restricted to what a rehearsal allows.

    Raises:
        UnknownEnvironmentError: an environment has no file.
        InvalidFilesError: has the faults of all of them.
    """
    files: list[EnvironmentFile] = []
    faults: set[Fault] = set()
    for name in dict.fromkeys(names):
        try:
            files.append(confined(load_environment(name, context.environments)))
        except InvalidFilesError as error:
            faults.update(error.faults)
    if faults:
        raise InvalidFilesError(tuple(faults))
    return files


def base_context(context: Context, folder: Path) -> Context:
    """Return the context of another checkout, with its own environments and image.

    Raises:
        UsageError: the folder is not a checkout.
    """
    if not (folder / "environments").is_dir() or not (folder / "deploy").is_dir():
        raise UsageError(
            f"{folder} is not a checkout: it has no environments/ or no deploy/.",
            advice="Make one: git worktree add DIR main",
        )
    environ = {name: value for name, value in context.environ.items() if name not in OURS}
    return replace(context, project=folder.absolute(), environ=environ)


async def rehearse_one(head: Revision, before: Context | None) -> Outcome:
    """Rehearse one environment, or return why it cannot be rehearsed here."""
    base = find_base(head, before)
    sides = [head, base.side] if base.side else [head]
    for side in sides:
        reason = unplayable(side.file, computer_mb())
        if reason:
            return skipped(head, base, reason)
    return await run_rehearsal(head, base)


def find_base(head: Revision, before: Context | None) -> Base:
    """Return the base that the head's change is applied to."""
    name = head.file.name
    if before is None or name not in environment_names(before.environments):
        return Base("none")
    try:
        side = Revision(before, confined(load_environment(name, before.environments)))
        wanted = desired_state(side.file, image_for(before, side.file))
    except (RoostError, OSError) as error:
        return Base("none", note=f"The base is not valid ({one_line(format(error))}).")
    if side.file.environment.app != head.file.environment.app:
        return Base("none", note=f"The base has another app, {side.file.environment.app}.")
    if wanted == desired_state(head.file, image_for(head.context, head.file)):
        return Base("same")
    return Base("created", side)


def computer_mb() -> int:
    """Return the memory of this computer in MB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MB


def print_outcome(context: Context, outcome: Outcome, *, quiet: bool) -> None:
    """Print the verdict of one rehearsal, its failure, and the measurements."""
    found = outcome.rehearsal
    style = {"passed": "green", "failed": "bold red", "skipped": "yellow"}[found.outcome]
    head = Text.assemble((f"{found.environment}: ", "bold"), (one_line(verdict(found)), style))
    if found.word:
        head.append(f" [{found.word}]")
    parts: list[RenderableType] = [head]
    rows = list(facts(found))
    if rows:
        parts.append(status_table(("rehearsed", ""), rows))
    for part in parts:
        (context.progress if quiet else context.out).print(part)

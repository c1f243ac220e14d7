"""`roost init`: write a new environment file and print the set-up commands.

It calls neither Fly nor GitHub. `fly` and `gh` do, with their own logins, if `--run` is given and
each command is confirmed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from roost.commands.init_questions import Answers, Interview, read_if_there, repository_owner
from roost.commands.init_setup import run_or_print
from roost.doctor.files import codeowners_place
from roost.environment.load import (
    DEFAULTS,
    EnvironmentFile,
    load_environment,
    load_files,
)
from roost.environment.sops_file import repository_of
from roost.environment.starter import (
    EXAMPLES,
    secret_names,
    written,
)
from roost.environment.yaml_source import Source, read_source
from roost.errors import ExitCode, InvalidFilesError, RoostError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.git import repository_slug
from roost.report.owned_paths import with_owners
from roost.report.setup import app_steps, commands


def init(context: Context, given: Answers, *, yes: bool, run: bool) -> ExitCode:
    """Write the file of a new environment, and print or run the set-up commands.

    Raises:
        UsageError: an answer is missing and nobody can be asked, or the file exists.
        InvalidFilesError: the defaults, or the new file together with the others, have faults.
    """
    folder = context.environments
    defaults = _defaults(folder)
    asking = Interview(context, given, defaults, yes=yes)
    starter = asking.starter()
    owner = asking.owner()
    path = folder / f"{starter.name}.yaml"
    file = write_new(path, written(starter, defaults), starter.name)
    context.out.print(f"Wrote {path}", markup=False, soft_wrap=True)
    _own(context, repository_of(path), owner, file)
    _tell_examples(context, folder, starter.name)
    wanted = commands(starter, secret_names(file.environment.secrets))
    run_or_print(context, wanted, repository_of(path), run=run, yes=yes)
    _explain_app(context, folder)
    context.out.print(
        f"Next: commit it on a branch, open a pull request, and see what is still missing: "
        f"{Command('doctor', starter.name)}",
        markup=False,
        soft_wrap=True,
    )
    return ExitCode.DONE


def _defaults(folder: Path) -> Source:
    """Read the defaults that are merged under every file of the folder.

    Raises:
        InvalidFilesError: they have faults.
    """
    path = folder / DEFAULTS
    if not path.exists():
        return Source(str(path), {})
    faults = load_files([path]).faults
    if faults:
        raise InvalidFilesError(faults)
    return read_source(str(path), path.read_bytes())


def write_new(
    path: Path,
    text: str,
    name: str,
    load: Callable[[str, Path], EnvironmentFile] = load_environment,
) -> EnvironmentFile:
    """Create a file, or leave nothing behind.

    Raises:
        UsageError: it exists.
        InvalidFilesError: it has a fault together with the other files; it was removed again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path, text, new=True)
    try:
        return load(name, path.parent)
    except RoostError:
        path.unlink()
        raise


def _put(path: Path, text: str, *, new: bool) -> None:
    """Write a file atomically."""
    descriptor, aside = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        if new:
            path.hardlink_to(aside)  # fails if the file exists
        else:
            Path(aside).replace(path)
    except FileExistsError:
        raise UsageError(
            "The file exists already and is never overwritten.",
            where=str(path),
            advice="Choose another name, or remove it first.",
        ) from None
    finally:
        with suppress(FileNotFoundError):
            Path(aside).unlink()


def _own(context: Context, repository: Path, owner: str, file: EnvironmentFile) -> None:
    """Write a code owner for every file except unprotected environments."""
    place = codeowners_place(repository)
    path = repository / place
    if owner in {"", "nobody"}:
        context.progress.print(
            f"Nobody reviews changes of servers yet: write a person or a team of GitHub into "
            f"{place}, such as @anna or @acme/platform. What needs a line there says: "
            f"{Command('doctor', file.name)}",
            markup=False,
            soft_wrap=True,
        )
        return
    if owner == repository_owner(context, file.path.parent):
        context.progress.print(
            f"{owner} is whose repository this is. GitHub takes only people and teams as code owners: "
            f"if it is an organization, write one of its teams, such as {owner}/platform, into "
            f"{place}.",
            markup=False,
            soft_wrap=True,
        )
    before = read_if_there(path)
    files = load_files([file.path.parent]).files
    theirs = [found for found in files if found.environment.app not in EXAMPLES]
    after = with_owners(before, owner, theirs)
    if after != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, after, new=False)
        context.out.print(f"Wrote {path}", markup=False, soft_wrap=True)


def _tell_examples(context: Context, folder: Path, name: str) -> None:
    """Suggest removing the template's example environments, which nobody can deploy."""
    files = [f for f in load_files([folder]).files if f.environment.app in EXAMPLES]
    examples = [str(file.path) for file in files if file.name != name]
    if examples:
        context.progress.print(
            f"The template's examples cannot be deployed. Remove them: git rm {' '.join(examples)}",
            markup=False,
            soft_wrap=True,
        )


def _explain_app(context: Context, folder: Path) -> None:
    """Print how to set up a GitHub App that opens the pull requests of workflows."""
    owner = repository_slug(context.environ, folder).partition("/")[0]
    server = context.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    context.out.print(app_steps(owner, server), markup=False, soft_wrap=True)

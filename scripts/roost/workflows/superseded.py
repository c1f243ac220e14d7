"""Check that no newer commit changes an environment, whose own run would then deploy it."""

from __future__ import annotations

from pathlib import PurePosixPath

from roost.environment.load import DEFAULTS, SUFFIXES, EnvironmentFile, load_environment
from roost.environment.server_lock import FOLDER as LOCKS
from roost.errors import (
    GitHubAnswerError,
    InvalidFilesError,
    SupersededError,
    UnknownEnvironmentError,
)
from roost.github.actions import Runner
from roost.github.api import GitHub
from roost.operations.context import Context
from roost.report.wording import counted
from roost.workflows.changed import meaning
from roost.workflows.remote_checkout import UnreadableCommitError, open_head

ENVIRONMENTS, DEPLOY = "environments/", "deploy/"
FLOWS = "flows/"
"""The usual place of the folders that flow servers run."""
OBJECTS = "prefect/"
"""The usual place of the files with Prefect's objects."""
UNTOUCHED = "Nothing was changed here."


async def check_newest(
    context: Context, github: GitHub, runner: Runner, file: EnvironmentFile
) -> None:
    """Check that no newer commit of the branch changes this environment.

    A changed path alone does not count: the newer commit's run deploys only environments whose
    meaning changed (`changed.meaning`), and would not deploy one that was left to it otherwise.

    Raises:
        SupersededError: a newer commit changes it, and has a run of its own.
        GitHubError: GitHub refuses or fails.
    """
    branch = runner.ref.removeprefix("refs/heads/")
    head = await github.branch_head(branch)
    if head == runner.sha:
        return
    concerned = [p for p in await github.changed_files(runner.sha, head) if concerns(p, file)]
    if not concerned:
        return
    moved = f"{branch} has moved on to {head[:10]}, which"
    try:
        changes = await _changes(context, github, head, file)
    except UnknownEnvironmentError:
        raise SupersededError(
            f"{moved} no longer has its file.",
            where=file.name,
            advice=f"{UNTOUCHED} Its server, if there is one, stays until it is destroyed.",
        ) from None
    except UnreadableCommitError as error:
        raise SupersededError(
            f"{moved} changes {concerned[0]}.",
            where=file.name,
            advice=(
                f"{UNTOUCHED} Whether the run of that commit deploys it could not be determined "
                f"({error}). See that run; if it does not, run the deploy workflow for {file.name}."
            ),
        ) from None
    if changes:
        raise SupersededError(
            f"{moved} changes {concerned[0]}.",
            where=file.name,
            advice=f"The run of that commit deploys it. {UNTOUCHED}",
        )


async def _changes(context: Context, github: GitHub, head: str, file: EnvironmentFile) -> bool:
    """Return whether a commit changes the meaning of the environment in the checkout.

    Raises:
        UnknownEnvironmentError: the commit has no environment of that name.
        UnreadableCommitError: its meaning cannot be determined.
    """
    try:
        async with open_head(context, github, head, lambda path: decides(path, file)) as there:
            newer = load_environment(file.name, there.environments)
            return meaning(there, newer) != meaning(context, file)
    except InvalidFilesError as error:
        raise UnreadableCommitError(f"it has {counted(len(error.faults), 'fault')}") from None
    except GitHubAnswerError as error:  # a file or a list that is too long for the API
        raise UnreadableCommitError(error.what.rstrip(".")) from None
    except (OSError, ValueError, LookupError) as error:  # the files of its image are broken
        raise UnreadableCommitError(f"its {DEPLOY} is incomplete, {type(error).__name__}") from None


def concerns(path: str, file: EnvironmentFile) -> bool:
    """Return whether an environment depends on a file of the repository."""
    return decides(path, file) and not (file.environment.prefect.image and path.startswith(DEPLOY))


def decides(path: str, file: EnvironmentFile) -> bool:
    """Return whether a file is needed to determine an environment's meaning, with any image."""
    names = {f"{file.name}{suffix}" for suffix in SUFFIXES} | {DEFAULTS}
    # A newer file may name extra packages, and so need a lock, where this one does not.
    names.add(f"{LOCKS}/{file.name}.txt")
    ours = {f"{ENVIRONMENTS}{name}" for name in names}
    sops = {PurePosixPath(name).as_posix() for name in file.environment.sops_files}
    objects = {file.environment.prefect.objects}
    # A newer file may name another folder of flows, or another file of objects, than this one.
    folders = (DEPLOY, FLOWS, OBJECTS, *(f"{entry.path}/" for entry in file.environment.flows))
    return path in ours | sops | objects or path.startswith(folders)

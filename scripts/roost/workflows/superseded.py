"""Whether a run is still the one to change an environment, or leaves it to a newer commit's run."""

from __future__ import annotations

from pathlib import PurePosixPath

from roost.environment.load import DEFAULTS, SUFFIXES, EnvironmentFile, load_environment
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
from roost.workflows.remote_checkout import UntoldError, open_head

ENVIRONMENTS, DEPLOY = "environments/", "deploy/"
UNTOUCHED = "Nothing was changed here."


async def check_newest(
    context: Context, github: GitHub, runner: Runner, file: EnvironmentFile
) -> None:
    """See that no newer commit of the branch makes another thing of this environment.

    A path that changed is only a reason to look: the newer commit's run deploys what means
    something else (`changed.meaning`), and would never come to what was left to it otherwise.

    Raises:
        SupersededError: one does, and is deployed by a run of its own.
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
            f"{moved} has no file of it any more.",
            where=file.name,
            advice=f"{UNTOUCHED} Its server, if there is one, stays until it is destroyed.",
        ) from None
    except UntoldError as error:
        raise SupersededError(
            f"{moved} changes {concerned[0]}.",
            where=file.name,
            advice=(
                f"{UNTOUCHED} Whether the run of that commit deploys it cannot be told from here "
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
    """Return whether a commit's environment means something else than the one that is checked out.

    Raises:
        UnknownEnvironmentError: it has none of that name.
        UntoldError: what it means cannot be told.
    """
    try:
        async with open_head(context, github, head, lambda path: decides(path, file)) as there:
            newer = load_environment(file.name, there.environments)
            return meaning(there, newer) != meaning(context, file)
    except InvalidFilesError as error:
        raise UntoldError(f"it has {counted(len(error.faults), 'fault')}") from None
    except GitHubAnswerError as error:  # a file or a list that is too long for the API
        raise UntoldError(error.what.rstrip(".")) from None
    except (OSError, ValueError, LookupError) as error:  # what its image is made of is spoilt
        raise UntoldError(f"its {DEPLOY} is not whole, {type(error).__name__}") from None


def concerns(path: str, file: EnvironmentFile) -> bool:
    """Return whether a file of the repository may decide what an environment is."""
    return decides(path, file) and not (file.environment.prefect.image and path.startswith(DEPLOY))


def decides(path: str, file: EnvironmentFile) -> bool:
    """Return whether a file has to be there to tell what an environment is, with any image."""
    names = {f"{file.name}{suffix}" for suffix in SUFFIXES} | {DEFAULTS}
    ours = {f"{ENVIRONMENTS}{name}" for name in names}
    secrets = {secret.source.sops for secret in file.environment.secrets} - {""}
    sops = {PurePosixPath(name).as_posix() for name in secrets}
    return path in ours | sops or path.startswith(DEPLOY)

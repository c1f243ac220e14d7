"""`roost github secrets`: set an environment's secrets, unless a newer commit has others."""

from __future__ import annotations

from roost.environment.load import load_environment
from roost.errors import ExitCode, SupersededError
from roost.github.api import github_of
from roost.verbs.ci.newest import check_newest
from roost.verbs.ci.page import put_on_page
from roost.verbs.ci.propose import need_runner
from roost.verbs.context import Context
from roost.verbs.secrets import set_secrets


async def secrets(context: Context, name: str) -> ExitCode:
    """Set what an apply would, and nothing else; superseded by a newer commit, do nothing.

    A run that waited, or that somebody runs again, has the values of its own commit: an older one
    would bring back what was changed since, such as a value that leaked.

    Raises:
        UsageError: this is no run of a workflow.
        RoostError: see `roost secrets --set`.
    """
    runner = need_runner(context)
    context.out.record = True  # as with every button, what is printed stands on the run's page
    try:
        file = load_environment(name, context.environments)
        async with github_of(context.environ) as github:
            # Once is enough: whatever a newer commit starts waits in line behind this job.
            await check_newest(context, github, runner, file)
        return await set_secrets(context, name, local=False, as_json=False, exit_code=False)
    except SupersededError as error:
        told = (
            f"The secrets of {name} are superseded: {error} To set them once more, do not run this "
            "run again: start the workflow Secrets anew, which takes the branch as it is now."
        )
        context.out.print(told, markup=False, soft_wrap=True)
        return ExitCode.DONE
    finally:
        put_on_page(context)

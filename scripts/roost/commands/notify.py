"""`roost notify`: send a test message to the addresses of an environment."""

from __future__ import annotations

from roost.environment.load import load_environment
from roost.errors import ExitCode, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.notifier import Address, addressed, send
from roost.report.notice import Notice, trial_notice


async def notify(context: Context, name: str, *, test: bool) -> ExitCode:
    """Send a test message to each address that a file names, whatever it is told.

    Returns:
        ERROR where one did not take it.

    Raises:
        UsageError: no test is asked for, or the file names no address.
    """
    if not test:
        raise UsageError(
            "Messages are sent by the workflows, when there is something to tell.",
            where="notify",
            advice=f"Send one now, to see that it arrives: {Command('notify', name, '--test')}",
        )
    file = load_environment(name, context.environments)
    if not file.environment.notify:
        raise UsageError(
            f"The file of {name} names no address.",
            where=str(file.path),
            advice="Add `notify: [{url_secret: NOTIFY_URL}]`, there or in _defaults.yaml.",
        )
    notice = trial_notice(name)
    told: dict[Address, tuple[Notice, ...]] = {}
    for entry in file.environment.notify:
        told.update(addressed(context, [file], [notice.model_copy(update={"fact": entry.on[0]})]))
    results = send(dict.fromkeys(told, (notice,)), context.environ)
    for result in results:
        context.out.print(result.sentence, markup=False, soft_wrap=True)
    return ExitCode.ERROR if any(result.why for result in results) else ExitCode.DONE

"""`roost github scale`: propose permanent scaling, by a pull request that edits the file."""

from __future__ import annotations

from roost.commands.scale import ScaleOptions, check_fields, check_options
from roost.environment.load import load_environment
from roost.environment.scale import SECTIONS, value_of
from roost.errors import ExitCode, UsageError
from roost.github.api import github_of
from roost.operations.context import Context
from roost.operations.edit_file import rewrite
from roost.report.markdown import code, text, value_code
from roost.report.wording import one_line, shown
from roost.workflows.job import need_runner
from roost.workflows.open_pull import FileChange, Proposal, path_in_repository, propose


def scale_options(
    *,
    size: str | None,
    memory_mb: int | None,
    count: int | None,
    min_machines_running: int | None,
    reason: str,
) -> ScaleOptions:
    """Return the values of the options."""
    fields = {
        "size": size,
        "memory_mb": memory_mb,
        "count": count,
        "min_machines_running": min_machines_running,
    }
    return ScaleOptions(fields, reason=reason, permanent=True)


async def scale(
    context: Context,
    name: str,
    *,
    asked: ScaleOptions,
    opens: bool,
) -> ExitCode:
    """Change only the values in the file, and propose that; `opens` lets it open the pull request.

    Raises:
        UsageError: the options are wrong, or the file has these values already.
        UnappliableError: the file has the values in a form that only a person can change.
    """
    check_options(asked)
    if not asked.reason.strip():
        raise UsageError("--reason is missing.", advice="Give the reason; reviewers read it.")
    runner = need_runner(context)
    file = load_environment(name, context.environments)
    check_fields(file, asked.given)
    old = {field: value_of(file.environment, field) for field in asked.given}
    new = {field: value for field, value in asked.given.items() if old[field] != value}
    if not new:
        raise UsageError("The file has these values already.", where=name)
    before = file.path.read_bytes()
    rewrite(file, new)
    values = ", ".join(f"{field} {shown(value)}" for field, value in new.items())
    rows = [
        f"- {code(f'{SECTIONS[field]}.{field}')}: {value_code(old[field])} \u2192 {value_code(value)}"
        for field, value in new.items()
    ]
    change = FileChange(path_in_repository(file.path.name), before, file.path.read_bytes())
    proposal = Proposal(
        (change,),
        f"Scale {name}: {values}",
        ("\n".join(rows), text(f"Why: {one_line(asked.reason)}")),
    )
    async with github_of(context.environ) as github:
        await propose(github, runner, proposal, opens=opens)
    return ExitCode.DONE

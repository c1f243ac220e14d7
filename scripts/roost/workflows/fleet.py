"""`roost github fleet` and `fleet-issue`: keep one issue with the state of all environments.

The first reads Fly with a token that may not write to GitHub, the second writes with one that cannot
reach Fly.
"""

from __future__ import annotations

from pathlib import Path

from roost.commands.drift import watched
from roost.commands.fleet import look
from roost.errors import ExitCode, GitHubError
from roost.github.actions import runner_of
from roost.github.api import GitHub, github_of
from roost.github.models import Issue
from roost.operations.context import Context
from roost.report.fleet_issue import FLEET, TITLE, fleet_body
from roost.report.plan_layout import LIMIT
from roost.workflows.job import need_read_token
from roost.workflows.one_issue import keep

FILE = "fleet.md"


async def fleet(context: Context, results: Path) -> ExitCode:
    """Write the text of the issue; nothing where there is no server to watch yet.

    Raises:
        MissingTokenError: no Fly token is set.
    """
    loaded = watched(context)
    if not loaded.files and not loaded.faults:
        context.out.print("There is no server to watch yet.")
        return ExitCode.DONE
    need_read_token(context)
    found = await look(context, local=False)
    runner = runner_of(context.environ)
    body = fleet_body(found.rows, found.now, runner.run_url if runner else "")
    _write(results, body)
    context.out.print(f"Wrote {results / FILE}.", markup=False, soft_wrap=True)
    return ExitCode.DONE


def _write(folder: Path, body: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(body, encoding="utf-8")


async def fleet_issue(context: Context, results: Path) -> ExitCode:
    """Bring the issue up to date with the text of the job before; open and pin it if there is none.

    Raises:
        MissingTokenError: GITHUB_TOKEN is not set.
        GitHubError: it could not be read or written.
    """
    path = results / FILE
    if not path.is_file():
        context.out.print("There is nothing to report of all environments.")
        return ExitCode.DONE
    body = path.read_text(encoding="utf-8", errors="replace")[:LIMIT]
    async with github_of(context.environ) as github:
        issue, opened = await keep(github, FLEET, TITLE, body, renames=False)
        word, note = ("opened", await _pinned(github, issue)) if opened else ("updated", "")
    context.out.print(f"{TITLE}: {word} #{issue.number} {issue.url}", markup=False, soft_wrap=True)
    if note:
        context.out.print(note, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def _pinned(github: GitHub, issue: Issue) -> str:
    """Pin a new issue; return how to do it by hand if GitHub refuses, else nothing.

    One that a person unpins later stays so.
    """
    try:
        await github.pin_issue(issue)
    except GitHubError as error:
        return (
            f"It could not be pinned ({error.what.rstrip('.')}). To pin it: open it, and choose "
            "Pin issue at its side, or run `gh issue pin`."
        )
    return ""

"""The command line of GitHub's workflows: `roost github VERB`, driven by options and variables alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.errors import ExitCode
from roost.running import make_context, run

github_app = typer.Typer(
    help="What GitHub's workflows run; GITHUB_TOKEN and the rest are as a job gives them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="A file in environments/, without .yaml.")
]
Results = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="Where each outcome is a file, ENV.json.")
]


@github_app.command(epilog="Example: roost github changed --base HEAD^1")
def changed(
    *,
    base: Annotated[
        str, typer.Option(metavar="COMMIT|DIR", help="What to compare with; nothing if left out.")
    ] = "",
    environment: Annotated[
        str, typer.Option(metavar="ENV", help="Take this one, changed or not.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> ExitCode:
    """Tell which environments a change concerns, as outputs for the jobs that follow."""
    from roost.verbs.ci import changed as verb

    return verb.changed(make_context(), base, environment, as_json=as_json)


@github_app.command(epilog="Example: roost github plan --results plans staging")
def plan(
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV...]", help="What to plan; else what ENVIRONMENTS lists."),
    ] = None,
    *,
    results: Results,
) -> ExitCode:
    """Plan with a token that only reads, and write the plans for the job that comments."""
    from roost.verbs.ci import plan as verb

    return run(verb.plan, environments or [], results)


@github_app.command(epilog="Example: roost github comment --plans plans --rehearsals rehearsals")
def comment(
    *,
    plans: Annotated[Path, typer.Option(metavar="DIR", help="What `plan` wrote.")],
    rehearsals: Annotated[Path, typer.Option(metavar="DIR", help="What `rehearse` wrote.")],
) -> ExitCode:
    """Write the one comment of a pull request: plans, costs and rehearsals."""
    from roost.verbs.ci import comment as verb

    return run(verb.comment, plans, rehearsals)


@github_app.command(epilog="Example: roost github deploy --results results staging")
def deploy(
    environment: Environment,
    *,
    digest: Annotated[
        str,
        typer.Option(metavar="DIGEST", help="Of a plan that was read; not what a merge approved."),
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a push without a pull request.")
    ] = False,
    after: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Outcomes of those in OPEN, which prove the change first."
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the outcome is a file, ENV.json.")
    ] = None,
) -> ExitCode:
    """Apply what was approved, and nothing else; superseded by a newer commit, do nothing."""
    from roost.verbs.ci import deploy as verb

    request = verb.Request(environment, digest.strip(), strict, after)
    return run(verb.deploy, request, results)


@github_app.command(epilog="Example: roost github secrets staging")
def secrets(
    environment: Environment,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a commit without a pull request.")
    ] = False,
) -> ExitCode:
    """Set secrets, and change nothing else; superseded by a newer commit, do nothing."""
    from roost.verbs.ci import secrets as verb

    return run(verb.secrets, environment, strict)


@github_app.command(epilog="Example: roost github report --results results")
def report(*, results: Results) -> ExitCode:
    """Bring the comment of the merged pull request to its final state; what has no result is told."""
    from roost.verbs.ci import report as verb

    return run(verb.report, results)


@github_app.command(epilog="Example: roost github scale staging --memory-mb 1024 --reason 'big UI'")
def scale(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Number of machines: 1, or 0 with postgres.")
    ] = None,
    min_machines_running: Annotated[
        int | None, typer.Option(metavar="N", help="0: may sleep. 1: always on.")
    ] = None,
    memory_mb: Annotated[int | None, typer.Option(metavar="MB", help="Memory.")] = None,
    size: Annotated[str | None, typer.Option(metavar="SIZE", help="Fly's CPU size.")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for who reviews it.")] = "",
) -> ExitCode:
    """Open a pull request that scales for good: other values in the file, and no other byte."""
    from roost.verbs.ci import scale as verb

    return run(
        verb.scale, environment, verb.wish(size, memory_mb, count, min_machines_running, reason)
    )


@github_app.command(epilog="Example: roost github revert staging")
def revert(environment: Environment) -> ExitCode:
    """Open the pull request that belongs to a rollback: the file as it was at that release."""
    from roost.verbs.ci import revert as verb

    return run(verb.revert, environment)


@github_app.command(epilog="Example: roost github drift --results found")
def drift(
    *,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where what was found is a file, ENV.json.")
    ] = None,
) -> ExitCode:
    """Look at all environments: 0 if all is clean, 2 on drift, 1 on errors; changes nothing."""
    from roost.verbs.ci import drift as verb

    return run(verb.drift, results)


@github_app.command(epilog="Example: roost github drift-issues --results found --healed healed")
def drift_issues(
    *,
    results: Annotated[Path, typer.Option(metavar="DIR", help="What `roost github drift` wrote.")],
    healed: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What `roost drift ENV --heal --results DIR` wrote."),
    ] = None,
    before_healing: Annotated[
        bool,
        typer.Option("--before-healing", help="Leave what this run puts back at once for later."),
    ] = False,
) -> ExitCode:
    """Open, update, reopen and close the issue of each environment."""
    from roost.verbs.ci import drift_issues as verb

    return run(verb.drift_issues, results, healed, before_healing)

"""The command line of GitHub's workflows: `roost github VERB`, driven by options and variables alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.run import make_context, run
from roost.errors import ExitCode

github_app = typer.Typer(
    help="What GitHub's workflows run; GITHUB_TOKEN and the rest are as a job gives them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="A file in environments/, without .yaml.")
]
Open = Annotated[
    bool,
    typer.Option("--open", help="The token may open pull requests; else a link says where to."),
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
    from roost.workflows import changed as verb

    return verb.changed(make_context(), base=base, name=environment, as_json=as_json)


@github_app.command(epilog="Example: roost github scope --base HEAD^1")
def scope(
    *,
    base: Annotated[
        str, typer.Option(metavar="COMMIT", help="What to compare HEAD with; all if left out.")
    ] = "",
) -> ExitCode:
    """Tell whether all checks have to run: not where only servers and documentation change."""
    from roost.workflows import scope as verb

    return verb.scope(make_context(), base)


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
    from roost.workflows import plan as verb

    return run(verb.plan, environments or [], results=results)


@github_app.command(epilog="Example: roost github comment --plans plans --rehearsals rehearsals")
def comment(
    *,
    plans: Annotated[Path, typer.Option(metavar="DIR", help="What `plan` wrote.")],
    rehearsals: Annotated[Path, typer.Option(metavar="DIR", help="What `rehearse` wrote.")],
) -> ExitCode:
    """Write the one comment of a pull request: plans, costs and rehearsals."""
    from roost.workflows import comment as verb

    return run(verb.comment, plans=plans, rehearsals=rehearsals)


@github_app.command(epilog="Example: roost github permit --for sleep production")
def permit(
    environment: Environment,
    *,
    doing: Annotated[
        str,
        typer.Option("--for", metavar="VERB", help="What is to be done; wake and smoke may all."),
    ] = "",
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where a refusal is an outcome, ENV.json.")
    ] = None,
) -> ExitCode:
    """Check that whoever started this run may change the environment; changes nothing."""
    from roost.workflows import permit as verb

    return run(verb.permit, environment, doing=doing, results=results)


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
    from roost.workflows import deploy as verb

    request = verb.Request(environment, digest.strip(), strict, after)
    return run(verb.deploy, request, results=results)


@github_app.command(epilog="Example: roost github secrets staging")
def secrets(
    environment: Environment,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a commit without a pull request.")
    ] = False,
) -> ExitCode:
    """Set secrets, and change nothing else; superseded by a newer commit, do nothing."""
    from roost.workflows import secrets as verb

    return run(verb.secrets, environment, strict=strict)


@github_app.command(epilog="Example: roost github rest secrets")
def rest(
    workflow: Annotated[
        str, typer.Argument(metavar="WORKFLOW", help="Which to start for each, without .yml.")
    ],
) -> ExitCode:
    """Name the environments that this run has no job for, which REST lists, and end with 1."""
    from roost.workflows import rest as verb

    return verb.rest(make_context(), workflow)


@github_app.command(epilog="Example: roost github report --results results")
def report(*, results: Results) -> ExitCode:
    """Write what came of it into the merged pull request's comment, and record what was proved."""
    from roost.workflows import report as verb

    return run(verb.report, results)


@github_app.command(epilog="Example: roost github deployed --sha 1a2b... --url https://... staging")
def deployed(
    environment: Environment,
    *,
    sha: Annotated[str, typer.Option(metavar="SHA", help="The commit, as its whole hash.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Where the server answers.")] = "",
) -> ExitCode:
    """Record on GitHub that a commit is deployed and proved, as a rollback leaves it."""
    from roost.workflows import deployments as verb

    return run(verb.deployed, environment, sha=sha.strip(), url=url.strip())


@github_app.command(epilog="Example: roost github undeployed staging")
def undeployed(environment: Environment) -> ExitCode:
    """Record on GitHub that nothing is deployed to an environment any more."""
    from roost.workflows import deployments as verb

    return run(verb.undeployed, environment)


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
    opens: Open = False,
) -> ExitCode:
    """Propose to scale for good, as a pull request: other values in the file, and no other byte."""
    from roost.workflows import scale as verb

    wanted = verb.wish(
        size=size,
        memory_mb=memory_mb,
        count=count,
        min_machines_running=min_machines_running,
        reason=reason,
    )
    return run(verb.scale, environment, wanted=wanted, opens=opens)


@github_app.command(epilog="Example: roost github rollback staging --to 3")
def rollback(
    environment: Environment,
    *,
    to: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Which release; the last good one if left out."),
    ] = None,
) -> ExitCode:
    """Roll back as `roost rollback` does, and put out which release is live for the next job."""
    from roost.workflows import rollback as verb

    return run(verb.rollback, environment, to=to)


@github_app.command(epilog='Example: roost github revert --release "$RELEASE" staging')
def revert(
    environment: Environment,
    *,
    release: Annotated[
        str, typer.Option(metavar="JSON", help="What `roost github rollback` put out.")
    ],
    opens: Open = False,
) -> ExitCode:
    """Propose the pull request that belongs to a rollback: the file as it was at that release."""
    from roost.workflows import revert as verb

    return run(verb.revert, environment, handed=release, opens=opens)


@github_app.command(epilog="Example: roost github drift --results found")
def drift(
    *,
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where what was found is a file, ENV.json.")
    ] = None,
) -> ExitCode:
    """Look at all environments: 0 if all is clean, 2 on drift, 1 on errors; changes nothing."""
    from roost.workflows import drift as verb

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
    from roost.workflows import drift_issues as verb

    return run(verb.drift_issues, results, healed=healed, before_healing=before_healing)

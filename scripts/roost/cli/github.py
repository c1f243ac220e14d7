"""`roost github`: the commands that GitHub's workflows run, with options and variables alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
    Count,
    Environment,
    MemoryMb,
    MinMachinesRunning,
    Open,
    Results,
    ResultsIfAny,
    Size,
    To,
)
from roost.cli.run import make_context, run
from roost.cli.sections import Section
from roost.errors import ExitCode

pull_requests = Section("Pull requests")
deploys = Section("Deploy")
buttons = Section("Buttons")
watch = Section("Drift")


@pull_requests.add("roost github changed --base HEAD^1")
def changed(
    *,
    base: Annotated[
        str, typer.Option(metavar="COMMIT|DIR", help="What to compare with. Default: nothing.")
    ] = "",
    environment: Annotated[
        str, typer.Option(metavar="ENV", help="Take this environment, changed or not.")
    ] = "",
    as_json: AsJson = False,
) -> ExitCode:
    """Set outputs that name the environments a change concerns."""
    from roost.workflows import changed as command

    return command.changed(make_context(), base=base, name=environment, as_json=as_json)


@pull_requests.add("roost github scope --base HEAD^1")
def scope(
    *,
    base: Annotated[
        str, typer.Option(metavar="COMMIT", help="What to compare HEAD with. Default: run all.")
    ] = "",
) -> ExitCode:
    """Set an output that says whether all checks have to run.

    They do not if only environments and documentation change.
    """
    from roost.workflows import scope as command

    return command.scope(make_context(), base)


@pull_requests.add("roost github plan --results plans staging")
def plan(
    environments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENV...]", help="What to plan. Default: those that ENVIRONMENTS lists."
        ),
    ] = None,
    *,
    results: Results,
) -> ExitCode:
    """Plan with a read-only token and write the plans to files."""
    from roost.workflows import plan as command

    return run(command.plan, environments or [], results=results)


@pull_requests.add("roost github comment --plans plans --rehearsals rehearsals")
def comment(
    *,
    plans: Annotated[Path, typer.Option(metavar="DIR", help="The folder that `plan` wrote.")],
    rehearsals: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that `rehearse` wrote.")
    ],
) -> ExitCode:
    """Write the comment of the pull request.

    It shows plans, costs and rehearsals.
    """
    from roost.workflows import comment as command

    return run(command.comment, plans=plans, rehearsals=rehearsals)


@deploys.add("roost github permit --for sleep production")
def permit(
    environment: Environment,
    *,
    doing: Annotated[
        str,
        typer.Option("--for", metavar="VERB", help="The action. Everybody may wake and smoke."),
    ] = "",
    results: ResultsIfAny = None,
) -> ExitCode:
    """Check that this run's actor may change the environment."""
    from roost.workflows import permit as command

    return run(command.permit, environment, doing=doing, results=results)


@deploys.add("roost github deploy --results results staging")
def deploy(
    environment: Environment,
    *,
    digest: Annotated[
        str,
        typer.Option(
            metavar="DIGEST",
            help="Digest of a plan that somebody read, instead of a merge's approval.",
        ),
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a push without a pull request.")
    ] = False,
    after: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Results of the environments in OPEN, which deploy first."
        ),
    ] = None,
    results: ResultsIfAny = None,
) -> ExitCode:
    """Apply what was approved, and nothing else.

    Does nothing if a newer commit concerns the environment.
    """
    from roost.workflows import deploy as command

    request = command.Request(environment, digest.strip(), strict, after)
    return run(command.deploy, request, results=results)


@deploys.add("roost github secrets staging")
def secrets(
    environment: Environment,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a commit without a pull request.")
    ] = False,
) -> ExitCode:
    """Set secrets, and change nothing else.

    Does nothing if a newer commit concerns the environment.
    """
    from roost.workflows import secrets as command

    return run(command.secrets, environment, strict=strict)


@deploys.add("roost github rest secrets")
def rest(
    workflow: Annotated[
        str,
        typer.Argument(metavar="WORKFLOW", help="The workflow to start for each, without .yml."),
    ],
) -> ExitCode:
    """List the environments that this run has no job for.

    The variable REST holds them. The exit code is 1.
    """
    from roost.workflows import rest as command

    return command.rest(make_context(), workflow)


@deploys.add("roost github report --results results")
def report(*, results: Results) -> ExitCode:
    """Report the deploy in the merged pull request's comment.

    Records a deployment on GitHub for each environment that was proved, and keeps one issue
    for each whose deploy failed.
    """
    from roost.workflows import report as command

    return run(command.report, results)


@deploys.add("roost github waiting")
def waiting() -> ExitCode:
    """Report deploys in ENVIRONMENTS that wait for a reviewer.

    Sends to the addresses of their files. One that is not reached is a warning.
    """
    from roost.workflows import notify as command

    return run(command.waiting)


@deploys.add("roost github notify")
def notify() -> ExitCode:
    """Send the messages that another job left in NOTICES.

    Sends to the addresses of the files. One that is not reached is a warning.
    """
    from roost.workflows import notify as command

    return run(command.notify)


@deploys.add("roost github deployed --sha 1a2b... --url https://... staging")
def deployed(
    environment: Environment,
    *,
    sha: Annotated[str, typer.Option(metavar="SHA", help="The full hash of the commit.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the server.")] = "",
) -> ExitCode:
    """Record a deployment of a commit on GitHub."""
    from roost.workflows import deployments as command

    return run(command.deployed, environment, sha=sha.strip(), url=url.strip())


@deploys.add("roost github undeployed staging")
def undeployed(environment: Environment) -> ExitCode:
    """Record on GitHub that nothing is deployed any more."""
    from roost.workflows import deployments as command

    return run(command.undeployed, environment)


@buttons.add("roost github scale staging --memory-mb 1024 --reason 'big UI'")
def scale(  # noqa: PLR0913 - one argument an option
    environment: Environment,
    *,
    count: Count = None,
    min_machines_running: MinMachinesRunning = None,
    memory_mb: MemoryMb = None,
    size: Size = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the reviewer.")] = "",
    opens: Open = False,
) -> ExitCode:
    """Propose a pull request that changes the scaling.

    It changes the values in the file, and no other byte.
    """
    from roost.workflows import scale as command

    asked = command.scale_options(
        size=size,
        memory_mb=memory_mb,
        count=count,
        min_machines_running=min_machines_running,
        reason=reason,
    )
    return run(command.scale, environment, asked=asked, opens=opens)


@buttons.add("roost github rollback staging --to 3")
def rollback(
    environment: Environment,
    *,
    to: To = None,
) -> ExitCode:
    """Roll back and set an output that names the live release."""
    from roost.workflows import rollback as command

    return run(command.rollback, environment, to=to)


@buttons.add('roost github revert --release "$RELEASE" staging')
def revert(
    environment: Environment,
    *,
    release: Annotated[
        str, typer.Option(metavar="JSON", help="The output of `roost github rollback`.")
    ],
    opens: Open = False,
) -> ExitCode:
    """Propose a pull request that reverts the file after a rollback."""
    from roost.workflows import revert as command

    return run(command.revert, environment, handed=release, opens=opens)


@watch.add("roost github drift --results found")
def drift(
    *,
    results: ResultsIfAny = None,
) -> ExitCode:
    """Compare all environments with Fly.

    The exit code is 0 without drift, 2 with drift, and 1 on errors.
    """
    from roost.workflows import drift as command

    return run(command.drift, results)


@watch.add("roost github drift-issues --results found --healed healed")
def drift_issues(
    *,
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that `roost github drift` wrote.")
    ],
    healed: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder that `roost drift ENV --heal --results DIR` wrote."
        ),
    ] = None,
    before_healing: Annotated[
        bool,
        typer.Option("--before-healing", help="Skip what this run undoes at once."),
    ] = False,
) -> ExitCode:
    """Open, update and close the drift issue of each environment."""
    from roost.workflows import drift_issues as command

    return run(command.drift_issues, results, healed=healed, before_healing=before_healing)


@watch.add("roost github fleet --results found")
def fleet(
    *,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Write fleet.md there.")],
) -> ExitCode:
    """Write the state of all environments, for the issue Fleet."""
    from roost.workflows import fleet as command

    return run(command.fleet, results=results)


@watch.add("roost github fleet-issue --results found")
def fleet_issue(
    *,
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that `roost github fleet` wrote.")
    ],
) -> ExitCode:
    """Keep the issue Fleet up to date, and pin it when it is opened."""
    from roost.workflows import fleet as command

    return run(command.fleet_issue, results=results)

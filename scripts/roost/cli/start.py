"""The commands to start with: `roost up`, `init`, `doctor`, `validate`, `show`, `schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli.options import (
    AsJson,
    Environment,
    Local,
    Paths,
)
from roost.cli.run import make_context, run
from roost.cli.sections import Section
from roost.errors import ExitCode

start = Section("Start")


@start.add("roost up staging --exit")
def up(
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="A file in environments/.")
    ] = "staging",
    *,
    leave: Annotated[bool, typer.Option("--exit", help="Prove sleep and wake, then stop.")] = False,
) -> ExitCode:
    """Run an environment on the local Fly until Ctrl-C.

    Validates the file, plans, applies, and runs the gate.
    """
    from roost.commands import up as command

    return run(command.up, environment, leave=leave)


@start.add("roost init --environment demo --app my-prefect --region iad --yes")
def init(  # noqa: PLR0913 - one argument an option
    *,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new file, without .yaml.")
    ] = None,
    fly_app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Name of its Fly app.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="ORG", help="Fly organization that pays.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="Fly region.")] = None,
    protected: Annotated[
        bool | None,
        typer.Option(
            "--protected/--no-protected",
            help="Refuse to destroy it; its buttons need a maintainer or a reviewer.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Fly's name of the CPU size.")
    ] = None,
    memory: Annotated[str | None, typer.Option(metavar="MB", help="Memory.")] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="DATABASE", help="sqlite or postgres.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="@NAME", help="Reviewer of changes on GitHub, or nobody.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing and use the defaults.")] = False,
    run_commands: Annotated[
        bool, typer.Option("--run", help="Run the fly and gh commands; each is confirmed first.")
    ] = False,
) -> ExitCode:
    """Write a new environment file and print the set-up commands.

    The commands create the Fly app, its tokens, and the settings on GitHub.
    """
    from roost.commands import init as command
    from roost.commands.init_questions import Answers

    given = Answers(
        environment, fly_app, organization, region, protected, size, memory, backend, owner
    )
    return command.init(make_context(), given, yes=yes, run=run_commands)


@start.add("roost import my-prefect --name production", name="import")
def import_app(
    fly_app: Annotated[str, typer.Argument(metavar="APP", help="A Fly app that runs Prefect.")],
    *,
    name: Annotated[
        str, typer.Option(metavar="ENV", help="Name of the new file; the app's by default.")
    ] = "",
    prefect_version: Annotated[
        str, typer.Option(metavar="VERSION", help="The Prefect it runs, where nothing says so.")
    ] = "",
    local: Local = False,
) -> ExitCode:
    """Write the environment file of an app that was made without Roost.

    It reads Fly and changes nothing there. The next plan shows what an apply changes.
    """
    from roost.commands import import_app as command

    return run(command.import_app, fly_app, name=name, version=prefect_version, local=local)


@start.add("roost export staging > fly.toml")
def export(environment: Environment) -> ExitCode:
    """Print the fly.toml of an environment, for use without Roost."""
    from roost.commands import export as command

    return command.export(make_context(), environment)


@start.add("roost doctor staging")
def doctor(  # noqa: PLR0913 - one argument an option
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV...]", help="Files in environments/. Default: all."),
    ] = None,
    *,
    database: Annotated[
        bool,
        typer.Option("--database", help="Connect to their Postgres as the server does, instead."),
    ] = False,
    client: Annotated[
        bool,
        typer.Option(
            "--client", help="Check the Prefect of this shell against ENV or --url, instead."
        ),
    ] = False,
    url: Annotated[
        str, typer.Option("--url", help="The PREFECT_API_URL that --client should find.")
    ] = "",
    wake: Annotated[bool, typer.Option("--wake", help="Wake a sleeping server to ask it.")] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Report what the set-up lacks, and what does not work.

    A server is looked at only where it is named. The exit code is 2 if anything is missing or wrong.
    """
    from roost.commands import doctor as command

    look = command.Look(database=database, client=client, url=url, wake=wake, local=local)
    return run(command.doctor, environments or [], look=look, as_json=as_json)


@start.add("roost update 1.2.0 --from https://github.com/OWNER/roost")
def update(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="The release. Default: the newest.")
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL|DIR", help="The repository with the releases."),
    ] = None,
    slim: Annotated[
        bool, typer.Option("--slim", help="Leave out Roost's own tests, from now on.")
    ] = False,
) -> ExitCode:
    """Take a newer release of Roost into this repository.

    Your files stay; files that both have changed are merged. Commits nothing.
    """
    from roost.commands import update as command

    return run(command.update, version=version, source=source, slim=slim)


@start.add("roost validate environments/ other/demo.yaml")
def validate(paths: Paths = None, *, as_json: AsJson = False) -> ExitCode:
    """Check environment files.

    The exit code is 3 if a file has a fault.
    """
    from roost.commands import files

    return files.validate(make_context(), paths or [], as_json=as_json)


@start.add("roost show staging")
def show(environment: Environment, *, as_json: AsJson = False) -> ExitCode:
    """Print an environment with its defaults merged in, and its image."""
    from roost.commands import files

    return files.show(make_context(), environment, as_json=as_json)


@start.add("roost schema > environments/environment.schema.json")
def schema(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the committed file again.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 2 if the committed file is stale.")
    ] = False,
) -> ExitCode:
    """Print the JSON Schema of environment files, for editors."""
    from roost.commands import files

    return files.schema(make_context(), write=write, check=check)


@start.add("roost connect staging")
def connect(
    environment: Environment,
    *,
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the profile; the environment's by default.")
    ] = "",
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the settings for CI or another computer instead.")
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Connect your own Prefect to a server.

    Wakes the server, proves it with your client, and writes a Prefect profile.
    """
    from roost.commands import connect as command

    return run(
        command.connect,
        environment,
        profile=profile,
        local=local,
        only_print=only_print,
        as_json=as_json,
    )

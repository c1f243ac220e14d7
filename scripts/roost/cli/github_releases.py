"""`roost github prefect-*`, `release` and `update-issue`: what the workflows about releases run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost.cli.options import Open
from roost.cli.run import make_context, run
from roost.cli.sections import Section
from roost.errors import ExitCode

upgrades = Section("Upgrades")


@upgrades.add("roost github prefect-look --cooldown-days 7")
def prefect_look(
    *,
    cooldown_days: Annotated[
        int,
        typer.Option(min=0, max=90, metavar="DAYS", help="Propose no release younger than this."),
    ] = 7,
) -> ExitCode:
    """Choose the next release of Prefect.

    It is for environments that are not protected. A release that mends a known vulnerability is proposed at once.
    """
    from roost.workflows import prefect_upgrade as command

    return run(command.look, cooldown_days=cooldown_days)


@upgrades.add("roost github prefect-edit --version 3.9.1 staging")
def prefect_edit(
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV...]", help="What to edit.")
    ] = None,
    *,
    version: Annotated[str, typer.Option(metavar="VERSION", help="The release of Prefect.")],
) -> ExitCode:
    """Write a release of Prefect into environment files."""
    from roost.workflows import prefect_upgrade as command

    return command.edit(make_context(), environments or [], version=version)


@upgrades.add("roost github prefect-pull --files locked")
def prefect_pull(
    *,
    files: Annotated[Path, typer.Option(metavar="DIR", help="What `./run upgrade` copied.")],
    opens: Open = False,
) -> ExitCode:
    """Propose the release that UPGRADE describes."""
    from roost.workflows import prefect_upgrade as command

    return run(command.propose, files=files, opens=opens)


@upgrades.add("roost github prefect-issue --tried failure --proposed skipped")
def prefect_issue(
    *,
    tried: Annotated[str, typer.Option(metavar="RESULT", help="Of the job that tried it.")],
    proposed: Annotated[str, typer.Option(metavar="RESULT", help="Of the job that proposed it.")],
    link: Annotated[
        str, typer.Option(metavar="URL", help="Where a person opens the pull request.")
    ] = "",
) -> ExitCode:
    """Keep the issue about a release that waits for a person."""
    from roost.workflows import prefect_upgrade as command

    return run(command.report, tried=tried, proposed=proposed, link=link)


@upgrades.add("roost github release")
def release() -> ExitCode:
    """Publish the release of Roost whose tag started this run.

    The tag, pyproject.toml and the newest section of CHANGELOG.md must agree.
    """
    from roost.workflows import release as command

    return run(command.release)


@upgrades.add("roost github update-issue")
def update_issue() -> ExitCode:
    """Keep an issue while a newer release of Roost is out."""
    from roost.workflows import release as command

    return run(command.update_issue)

"""Prove that a server is healthy, record that in its release, and read what it reports of itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from roost.apply.release_records import mark_proved
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyError, SmokeFailedError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.secret_sources import login_of
from roost.operations.server_state import (
    our_machines_in,
)
from roost.operations.sleep_wake import PROBE_TIMEOUT_S
from roost.plan.live import read_live
from roost.plan.releases import releases_on
from roost.prefect.gate_pages import ask_report, quoted
from roost.prefect.probe import DATABASE, CheckResult, Server, prove, run_check, select_checks
from roost.report.text import check_line
from roost.report.wording import one_line, unproved_notes
from roost.secret_text import SecretText

REPORT_LIMIT_S = 20.0
"""Longest wait for what a server reports of itself."""


@dataclass(frozen=True)
class Subject:
    """The server to check."""

    url: str
    version: str
    auth: SecretText | None
    made_up: bool = False
    """Whether the login was generated for the local Fly."""
    target: Target | None = None
    file: EnvironmentFile | None = None
    """The environment and its Fly; None for a URL."""


async def record_proved(context: Context, subject: Subject) -> None:
    """Record in the release that it is proved; print a note if the token may not."""
    if subject.target is None or subject.file is None:
        return
    name, app = subject.file.name, subject.file.environment.app
    try:
        proved = await mark_proved(subject.target.fly, app, name)
    except FlyError as error:
        context.progress.print(
            f"The server is healthy, but its release stays unproved: {one_line(error.message)}",
            markup=False,
            soft_wrap=True,
        )
        return
    if proved:
        context.progress.print(f"Release {proved.number} was unproved and is proved now.")


async def run_checks(
    context: Context, subject: Subject, *, stock: bool, quiet: bool
) -> AsyncIterator[CheckResult]:
    """Run the gate's checks that can be run from outside; print each result unless `quiet`."""
    async with context.clients.prefect(subject.url, PROBE_TIMEOUT_S) as http:
        backend = subject.file.environment.database.backend if subject.file else ""
        server = Server(
            http, subject.auth, subject.version, made_up=subject.made_up, database=backend
        )
        checks = select_checks(login=subject.auth is not None, stock=stock)
        async for result in prove(server, checks, time.monotonic):
            if not quiet:
                context.out.print(check_line(result))
            yield result


@asynccontextmanager
async def subject_of(
    context: Context, name: str, version: str, *, local: bool
) -> AsyncIterator[Subject]:
    """Yield the server at a URL, or that of an environment with its login."""
    auth = context.environ.get(AUTH_SECRET)
    if name.startswith(("http://", "https://")):
        yield Subject(name, version, SecretText(auth) if auth else None)
        return
    file = load_environment(name, context.environments)
    environment = file.environment
    async with connect(context, local=local) as target:
        await target.check_reach(file)
        url = await target.app_url(environment.app, public=environment.access.public)
        if not url:
            raise UsageError(
                f"{environment.app} is not on the local Fly.",
                advice=f"Apply it: {Command('apply', name, '--local')}",
            )
        yield environment_subject(context, file, target, url, version)


def environment_subject(
    context: Context, file: EnvironmentFile, target: Target, url: str, version: str = ""
) -> Subject:
    """Return an environment's server, with its login if this computer has it."""
    login = login_of(context, file, target.generates)
    runs = version or file.environment.prefect.version
    return Subject(url, runs, login.value, login.made_up, target, file)


async def prove_woken(context: Context, subject: Subject) -> None:
    """Prove a server whose live release is unproved; without its login, print that it stays so.

    Raises:
        SmokeFailedError: at least one check failed.
    """
    assert subject.file is not None  # noqa: S101 - an environment's subject has both
    assert subject.target is not None  # noqa: S101 - see the line above
    environment = subject.file.environment
    live = await read_live(subject.target.fly, environment.app)
    releases = releases_on(our_machines_in(subject.file, live))
    if not list(unproved_notes(subject.file.name, releases)):
        return
    if subject.auth is None and environment.access.auth == "basic":
        context.progress.print(
            f"Its release stays unproved, because the value of {AUTH_SECRET} is not here.",
            soft_wrap=True,
        )
        return
    stock = bool(environment.prefect.image)
    results = [result async for result in run_checks(context, subject, stock=stock, quiet=True)]
    if failed := [result for result in results if not result.ok]:
        last_error = quoted(await last_error_of(context, subject.url, subject.auth))
        raise SmokeFailedError(
            f"{subject.url} is awake, but a check failed: {failed[0].name}: {failed[0].detail}.{last_error}",
            advice=failed[0].advice,
        )
    await record_proved(context, subject)


async def prove_database(context: Context, url: str, auth: SecretText | None, backend: str) -> None:
    """Check that a server uses the database that its file names.

    Args:
        context: how the server is reached.
        url: address of the server.
        auth: its login; without it, the check passes unseen if the server asks for one.
        backend: the file's database, `sqlite` or `postgres`.

    Raises:
        SmokeFailedError: it uses another database.
    """
    async with context.clients.prefect(url, REPORT_LIMIT_S) as http:
        server = Server(http, auth, database=backend)
        result = await run_check(DATABASE, server, time.monotonic)
    if not result.ok:
        raise SmokeFailedError(
            f"{url} is up, but a check failed: {result.name}: {result.detail}.",
            advice=result.advice,
        )


async def last_error_of(context: Context, url: str, auth: SecretText | None) -> str:
    """Return the last error that a server of Roost's image logged; empty if it reports none."""
    async with context.clients.prefect(url, REPORT_LIMIT_S) as http:
        report = await ask_report(Server(http, auth))
    return report.last_error if report else ""

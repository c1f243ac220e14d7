"""`roost connect`: point a person's own Prefect at an environment's server, and prove that it works."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict

from roost.apply.secret_values import login_fault
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.errors import ExitCode, UnusableSecretError, UsageError
from roost.operations.client_profile import (
    Connected,
    find_python,
    overriding,
    persons_variables,
    write_profile,
)
from roost.operations.context import Context
from roost.operations.fly_target import Generates
from roost.operations.secret_sources import login_of
from roost.operations.server_address import server_url
from roost.operations.sleep_wake import time_wake
from roost.prefect.client_versions import client_fault
from roost.secret_text import SecretText

API_URL = "PREFECT_API_URL"
API_AUTH = "PREFECT_API_AUTH_STRING"


async def connect(  # noqa: PLR0913 - one argument an option
    context: Context, name: str, *, profile: str, local: bool, only_print: bool, as_json: bool
) -> ExitCode:
    """Wake the server, prove it with the person's own client, and write a Prefect profile for it.

    It needs no Fly token: the server wakes with the first request.

    Raises:
        MissingClientError: there is no Prefect here to write a profile for.
        ClientError: that Prefect got no good answer; nothing was written.
        UnusableSecretError: the login that was typed cannot be one.
        UsageError: the login is not known here, and nobody is there to be asked.
    """
    file = load_environment(name, context.environments)
    url = await server_url(context, file, local=local)
    if only_print:
        _print_settings(context, file, url, as_json=as_json)
        return ExitCode.DONE
    find_python(context.environ)  # before anybody types a password
    auth = _login(context, file, local=local)
    await time_wake(context, url)
    connected = await write_profile(persons_variables(context), profile or name, url, auth)
    _report(context, profile or name, url, connected, as_json=as_json)
    return ExitCode.DONE


def _print_settings(context: Context, file: EnvironmentFile, url: str, *, as_json: bool) -> None:
    """Print what CI or another computer has to set; the login stays a reference to its secret."""
    lines = {API_URL: f"{url}/api"}
    if file.environment.access.auth == "basic":
        lines[API_AUTH] = f"${{{AUTH_SECRET}}}"
    if as_json:
        context.out.print_json(json.dumps(lines))
        return
    for name, value in lines.items():
        context.out.print(f"{name}={value}", markup=False, highlight=False, soft_wrap=True)


def _login(context: Context, file: EnvironmentFile, *, local: bool) -> SecretText | None:
    """Return the login of a server, from where it is known here, or from whoever sits here.

    Raises:
        UnusableSecretError: what was typed cannot be a login.
        UsageError: nobody can be asked.
    """
    if file.environment.access.auth != "basic":
        return None
    known = login_of(context, file, Generates.LOGIN if local else Generates.NOTHING)
    return known.value or _ask(file)


def _ask(file: EnvironmentFile) -> SecretText:
    if not sys.stdin.isatty():
        raise UsageError(
            f"The login of {file.name} is not known here.",
            advice=f"Set {AUTH_SECRET} to USER:PASSWORD in the environment of this command, or "
            "run it in a terminal, where it asks.",
        )
    login = SecretText(getpass.getpass(f"Login of {file.name}, USER:PASSWORD (not shown): "))
    if fault := login_fault(login):
        raise UnusableSecretError(f"The login {fault}.", advice="Nothing was written. Try again.")
    return login


def _report(
    context: Context, profile: str, url: str, connected: Connected, *, as_json: bool
) -> None:
    fault = client_fault(connected.client, connected.server)
    winning = overriding(context.environ)
    if as_json:
        document = {"profile": profile, "url": url, **asdict(connected)}
        context.out.print_json(json.dumps({**document, "warning": fault, "overridden": winning}))
        return
    lines = [
        f"Your Prefect {connected.client} is connected to {url} (Prefect {connected.server}).",
        f"The profile {profile} is active. It is in {connected.path}",
    ]
    if connected.before and connected.before != profile:
        lines.append(f"To go back: prefect profile use {connected.before}")
    if fault:
        lines.append(fault)
    if winning:
        lines.append(
            f"This shell sets {', '.join(winning)}, which wins. Unset it: unset {' '.join(winning)}"
        )
    for line in lines:
        context.out.print(line, markup=False, highlight=False, soft_wrap=True)

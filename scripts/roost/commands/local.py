"""`roost local`: start, stop and inspect the local Fly."""

from __future__ import annotations

import json
import sys

import httpx

from roost.errors import ExitCode, LocalFlyError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import ensure_local_fly
from roost.operations.generated_secrets import GeneratedSecrets
from roost.operations.local_fly import run_localfly
from roost.report.text import listing


async def start(context: Context, port: int | None) -> ExitCode:
    """Start the local Fly in the background, unless it runs."""
    local, started = await ensure_local_fly(context, port)
    word = "started" if started else "already runs"
    context.progress.print(f"The local Fly {word}. Stop it with: {Command('local', 'stop')}")
    context.out.print(f"export FLY_FLAPS_BASE_URL={local.api_url}", soft_wrap=True)
    return ExitCode.DONE


async def stop(context: Context) -> ExitCode:
    """Stop the local Fly and its machines; their data is kept."""
    if await context.clients.find_local_fly(context.local_home) is None:
        context.progress.print("The local Fly does not run, so there is nothing to stop.")
        return ExitCode.DONE
    await run_localfly(context.local_home, context.environ, "stop")
    context.progress.print("The local Fly is stopped. Its state is kept for the next start.")
    return ExitCode.DONE


async def status(context: Context, *, as_json: bool) -> ExitCode:
    """Show the address of the local Fly, its apps and their machines."""
    local = await context.clients.find_local_fly(context.local_home)
    if local is None:
        raise LocalFlyError(
            "The local Fly does not run.", advice=f"Start it: {Command('local', 'start')}"
        )
    found = await local.status()
    if as_json:
        context.out.print_json(json.dumps(found))
        return ExitCode.DONE
    context.out.print(f"The local Fly answers at {found['api_url']} (process {found['pid']}).")
    rows = [
        (app, machine["name"], machine["state"], entry["url"])
        for app, entry in found["apps"].items()
        for machine in entry["machines"]
    ]
    context.out.print(listing(("app", "machine", "state", "address"), rows))
    return ExitCode.DONE


async def logs(context: Context, name: str, *, follow: bool) -> ExitCode:
    """Print the log of an app's machines, or of the local Fly."""
    local = await context.clients.find_local_fly(context.local_home)
    if local is None:
        raise LocalFlyError(
            "The local Fly does not run.", advice=f"Start it: {Command('local', 'start')}"
        )
    wanted = {
        key: value for key, value in (("app", name), ("follow", "1" if follow else "")) if value
    }
    async with (
        httpx.AsyncClient(base_url=local.api_url, timeout=None, trust_env=False) as http,  # noqa: S113 - --follow has no end
        http.stream("GET", "/localfly/logs", params=wanted) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise UsageError(
                f"There is no app {name} on the local Fly.",
                advice=f"See: {Command('local', 'status')}",
            )
        async for text in answer.aiter_text():
            sys.stdout.write(text)
            sys.stdout.flush()
    return ExitCode.DONE


async def reset(context: Context, *, yes: bool) -> ExitCode:
    """Stop the local Fly and delete all its data."""
    if not yes and not _confirmed(context):
        raise UsageError(
            "Nothing was deleted.", advice="Answer with the word reset, or pass --yes."
        )
    await run_localfly(context.local_home, context.environ, "reset", "--yes")
    GeneratedSecrets(context.local_home).forget()
    context.progress.print("The local Fly is empty. Built images are kept.")
    return ExitCode.DONE


def _confirmed(context: Context) -> bool:
    """Return whether the person at the terminal typed the word; False without a terminal."""
    if not sys.stdin.isatty():
        return False
    context.progress.print(
        "This deletes every app and volume of the local Fly. Type reset to go on: ", end=""
    )
    return sys.stdin.readline().strip() == "reset"

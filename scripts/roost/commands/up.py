"""`roost up`: run an environment on the local Fly, from its file to a proved server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio

from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.environment.units import to_apply
from roost.environment.window_rules import windows_of
from roost.environment.windows import spans_around
from roost.errors import ExitCode, SmokeFailedError
from roost.errors.command import Command
from roost.operations.applying import apply_planned
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect, ensure_local_fly
from roost.operations.generated_secrets import generated_secrets_file
from roost.operations.local_fly import run_localfly
from roost.operations.needed_secrets import check_all_values
from roost.operations.planning import make_plan
from roost.operations.secret_sources import given_values
from roost.operations.server_proof import environment_subject, prove_database
from roost.operations.server_state import print_state_notes
from roost.operations.sleep_wake import time_wake
from roost.plan.next_due import LEAD
from roost.report.text import plan_report, unit_heading
from roost.report.windows import open_until, opening
from roost.report.wording import connect_line

# Beyond idle_after: the server checks every half second, and suspending takes a moment.
SLEEP_SLACK_S = 30
# A suspended flow server's sockets are found to be dead by Prefect's ping: 20 s, and 20 s for the
# answer. A run that is due within a minute keeps both awake until it ended.
FLOWS_SLACK_S = 120
POLL_S = 0.2


async def up(context: Context, name: str, *, leave: bool) -> ExitCode:
    """Validate, plan, apply and prove; then run until Ctrl-C, or prove sleep and wake and stop."""
    file = load_environment(name, context.environments)
    context.out.print(f"{file.path.name} is valid.")
    _, started = await ensure_local_fly(context)
    try:
        async with connect(context, local=True) as target:
            chosen = to_apply(file)
            check_all_values(target, [await make_plan(context, unit, target) for unit in chosen])
            for unit in chosen:
                bring = bring_up_beside if unit.beside else bring_up
                await bring(context, target, unit)
            if leave:
                await prove_sleep(context, target, file)
            else:
                await follow(context, target, file, stops=started)
    finally:
        if started:
            with anyio.CancelScope(shield=True):
                context.out.print("Stopping the local Fly. What it stored is kept.")
                await run_localfly(context.local_home, context.environ, "stop")
    return ExitCode.DONE


async def bring_up(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Apply the environment and print its address and login hint."""
    planned = await make_plan(context, file, target)
    context.out.print(plan_report(planned.plan, planned.cost))
    await apply_planned(context, target, planned)
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    await time_wake(context, url)
    subject = environment_subject(context, file, target, url)
    await prove_database(context, url, subject.auth, file.environment.database.backend)
    idle = int(file.environment.scaling.idle_after.total_seconds())
    context.out.print(f"{file.name} is healthy at {url}", soft_wrap=True)
    await print_state_notes(context, target, file)
    context.out.print(client_settings(file, url), soft_wrap=True)
    context.out.print(login_advice(context, file), soft_wrap=True)
    if file.environment.scaling.autostop != "off":
        outside = " outside of its windows" if file.environment.scaling.windows else ""
        context.out.print(f"It sleeps after {idle} s of quiet{outside}; the next request wakes it.")
    context.out.print(connect_line(file.name))


async def bring_up_beside(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Apply what stands beside a server; its gate has it do its work once."""
    planned = await make_plan(context, file, target)
    context.out.print(unit_heading(file.name, planned.desired.app))
    context.out.print(plan_report(planned.plan, planned.cost))
    await apply_planned(context, target, planned)
    context.out.print(f"{file.name} is up and {_does(file)}.")


def _does(file: EnvironmentFile) -> str:
    if file.redis:
        return "takes writes"
    return "wakes servers" if file.waker else "runs flows"


def client_settings(file: EnvironmentFile, url: str) -> str:
    """Return the settings for Prefect's client, to copy; the login is a placeholder."""
    lines = [f"  export PREFECT_API_URL={url}/api"]
    if file.environment.access.auth == "basic":
        lines.append("  export PREFECT_API_AUTH_STRING=USER:PASSWORD")
    return "\n".join(["Point Prefect's client at it:", *lines])


def login_advice(context: Context, file: EnvironmentFile) -> str:
    """Return where to find the login; its value was shown once."""
    if file.environment.access.auth != "basic":
        return "Anyone who reaches it has access, as its file says."
    if AUTH_SECRET in given_values(context, file).found:
        return f"Log in with the value you gave for {AUTH_SECRET}."
    return f"Log in with the value of {AUTH_SECRET}; it is kept in\n{generated_secrets_file(context.local_home)}"


async def follow(context: Context, target: Target, file: EnvironmentFile, *, stops: bool) -> None:
    """Print the events of the machines until Ctrl-C."""
    assert target.local is not None  # noqa: S101 - `up` is about the local Fly
    context.out.print(ctrl_c(stops=stops), soft_wrap=True)
    async with target.local.events() as events:
        async for event in events:
            if event.get("app") == file.environment.app and "seconds" in event:
                took = f"in {event['seconds']:.3f} s"
                context.out.print(f"  {event['name']} {event['status']} {took}")


def ctrl_c(*, stops: bool) -> str:
    """Return what Ctrl-C stops, and what keeps running."""
    if stops:
        return "Ctrl-C stops it."
    return (
        "Ctrl-C ends only this report. The local Fly ran before and keeps running with all its "
        f"servers. To stop it: {Command('local', 'stop')}"
    )


async def prove_sleep(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Wait until the server sleeps by itself, then wake it with a request.

    Raises:
        SmokeFailedError: it does not sleep.
    """
    scaling = file.environment.scaling
    limit = sleep_limit_s(file)
    if limit is None:
        context.out.print("It never sleeps, as its file says.")
        return
    if why := kept_by_window(file, datetime.now(UTC), limit):
        context.out.print(why, soft_wrap=True)
        return
    asleep = "suspended" if scaling.autostop == "suspend" else "stopped"
    context.out.print(f"Waiting until it sleeps by itself, for {limit:.0f} s at most.")
    with anyio.move_on_after(limit) as waiting:
        while not await _all_in(target, file, asleep):  # noqa: ASYNC110 - Fly has no event to wait on
            await anyio.sleep(POLL_S)
    if waiting.cancelled_caught:
        raise SmokeFailedError(
            f"It was quiet for {limit:.0f} s and did not sleep.",
            advice=f"See its log: {Command('local', 'logs', file.environment.app)}",
        )
    context.out.print(f"It sleeps: {asleep}.")
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    seconds = await time_wake(context, url)
    context.out.print(f"A request woke it and was answered after {seconds:.3f} s.")


def sleep_limit_s(file: EnvironmentFile) -> float | None:
    """Return the seconds within which an idle server sleeps; None if it never does.

    A flow server sleeps first, and its server then finds that its sockets are closed.
    """
    scaling = file.environment.scaling
    always = any(entry.run == "always" for entry in file.environment.flows)
    if scaling.autostop == "off" or scaling.min_machines_running or always:
        return None
    own = scaling.idle_after.total_seconds() + SLEEP_SLACK_S
    theirs = (entry.idle_after.total_seconds() for entry in file.environment.flows)
    first = max(theirs, default=0.0)
    return own + first + (FLOWS_SLACK_S if file.environment.flows else 0.0)


def kept_by_window(file: EnvironmentFile, now: datetime, limit_s: float) -> str:
    """Return which window keeps an idle server awake within a time; empty if none does."""
    is_open, following = spans_around(windows_of(file.environment), now)
    if is_open:
        return f"{open_until(is_open, now)}. The server does not sleep before, so its sleep is not tried."
    if following and following.begin - now < timedelta(seconds=limit_s) + LEAD:
        begin = opening(str(following.opens), following.begin, now)
        return f"A window is about to open: {begin}. So the server's sleep is not tried."
    return ""


async def _all_in(target: Target, file: EnvironmentFile, state: str) -> bool:
    machines = await target.fly.list_machines(file.environment.app)
    return all(machine.state == state for machine in machines)

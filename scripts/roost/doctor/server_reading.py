"""Read what the findings about a server need: Fly's events and log, and the server if it is awake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import anyio
import httpx

from roost.doctor.hidden import hider
from roost.doctor.server_facts import ASLEEP, Answer, Log, ServerFacts, config_time
from roost.environment.load import EnvironmentFile
from roost.environment.prefect_settings import locked_versions
from roost.errors import PrivateNetworkError, RoostError, SmokeFailedError
from roost.fly.logs import BELOW, WEB_API
from roost.fly.models import LogEntry, Machine
from roost.operations.context import Context
from roost.operations.fly_target import LOCAL_TOKEN, Target, fly_token
from roost.operations.images import registry_host
from roost.operations.secret_sources import given_values, login_of
from roost.operations.server_state import LOOK_LIMIT_S, our_machines_in
from roost.operations.sleep_wake import time_wake
from roost.plan.cost import read_prices
from roost.plan.image import REGISTRY, is_our_image
from roost.plan.live import Live, read_live
from roost.plan.wakes import read_wakes, wakes_of
from roost.prefect.gate_pages import ask_whole_report
from roost.prefect.server import Server
from roost.report.log_lines import is_since, log_line
from roost.secret_text import SecretText

MOST_PIECES = 5
MOST_LINES = 200
MAX_ERROR = 300
APART_S, WOKEN_S = 4.0, 2.0
"""How far two clocks are apart that is looked at again, and after how long."""


async def read_server(
    context: Context, target: Target, file: EnvironmentFile, *, wake: bool
) -> ServerFacts:
    """Read a server; it is asked only if it is awake, or if it may be woken.

    Args:
        context: the variables, the clients and the price list.
        target: the Fly.
        file: the environment.
        wake: whether a request may wake it.

    Raises:
        FlyError: Fly cannot be asked for the app or its machines.
    """
    environment = file.environment
    live = await read_live(target.fly, environment.app)
    machines = [await _with_events(target, environment.app, m) for m in our_machines_in(file, live)]
    facts = ServerFacts(
        file,
        datetime.now(UTC),
        tuple(machines),
        read_prices(context.prices),
        volumes=live.volumes,
        addresses=len(live.ips),
        wakes=wakes_of(machines),
        locks=locked_versions(context.deploy),
    )
    if not machines:
        return facts
    facts = await _asked(context, target, facts, live, wake=wake)
    if facts.answer.is_ready:
        return facts
    # A failed wake changed the machines: what they say now is about this start.
    live = await read_live(target.fly, environment.app)
    machines = [await _with_events(target, environment.app, m) for m in our_machines_in(file, live)]
    log = await _read_log(context, target, file, machines)
    image = await _has_image(context, target, machines)
    return replace(facts, machines=tuple(machines), log=log, image=image)


async def _with_events(target: Target, app: str, machine: Machine) -> Machine:
    """Return a machine with all events that Fly keeps; those of a list of machines are fewer."""
    try:
        events = await target.fly.list_events(app, machine.id)
    except RoostError:
        return machine
    return machine.model_copy(update={"events": events}) if events else machine


async def _asked(
    context: Context, target: Target, facts: ServerFacts, live: Live, *, wake: bool
) -> ServerFacts:
    """Return the facts with what the server answers, if it may be asked."""
    file = facts.file
    if not facts.runs and not wake:
        asleep = all(machine.state in ASLEEP for machine in facts.machines)
        why = "it sleeps, and --wake was not given" if asleep else "no machine runs"
        return replace(facts, answer=Answer(why_not=why))
    try:
        await target.check_reach(file)
    except PrivateNetworkError:
        why = "it is private, and this computer is not in its network"
        return replace(facts, answer=Answer(why_not=why))
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    if not url or not live.ips:
        return replace(facts, answer=Answer(why_not="it has no address"))
    if not facts.runs:
        try:
            await time_wake(context, url)
        except SmokeFailedError as error:
            facts = replace(facts, tried=(f"a request did not wake it: {error.what}",))
    answer = await _ask(context, url)
    if answer.status in ("", "ConnectError"):
        return replace(facts, answer=answer)
    login = login_of(context, file, target.generates).value
    async with context.clients.prefect(url, LOOK_LIMIT_S) as http:
        server = Server(http, login)
        report = await ask_whole_report(server)
    last = report.get("last_error")
    wakes = read_wakes(report.get("wakes"))
    said = server.quote(last, MAX_ERROR) if isinstance(last, str) else ""
    return replace(facts, answer=answer, last_error=said, wakes=wakes or facts.wakes)


async def _ask(context: Context, url: str) -> Answer:
    async with context.clients.prefect(url, LOOK_LIMIT_S) as http:
        try:
            answer = await http.get("/api/ready")
            clock_s = await settled_clock(http, answer, context.clients.now(), context.clients.now)
        except httpx.HTTPError as failure:
            return Answer(type(failure).__name__)
    return Answer(str(answer.status_code), clock_s=clock_s)


async def settled_clock(
    http: httpx.AsyncClient, answer: httpx.Response, at: datetime, now: Callable[[], datetime]
) -> float | None:
    """Return the server's clock minus this computer's; asked once more where the two are apart.

    Uvicorn reads the time once a second for its Date header. A server that was suspended answers its first
    request with the time at which it fell asleep.

    Args:
        http: the client that asked.
        answer: what was answered.
        at: this computer's time at that answer.
        now: this computer's clock.

    Raises:
        httpx.HTTPError: the second request was not answered.
    """
    apart = clock_of(answer, at)
    if apart is None or abs(apart) < APART_S:
        return apart
    await anyio.sleep(WOKEN_S)
    again = await http.get(answer.request.url)
    return clock_of(again, now())


def clock_of(answer: httpx.Response, now: datetime) -> float | None:
    """Return the clock of whoever answered minus this computer's, in seconds; None if it sent no time."""
    if answer.status_code != HTTPStatus.OK:
        return None
    try:
        at = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return (at - now).total_seconds() if at.tzinfo else None


async def _read_log(
    context: Context, target: Target, file: EnvironmentFile, machines: Iterable[Machine]
) -> Log:
    """Return the newest lines about the machines' present config, without secrets, or why there are none."""
    begins = {machine.id: config_time(machine) for machine in machines}
    base, token = _log_api(context, target)
    login = login_of(context, file, target.generates).value
    hide = hider([*given_values(context, file).found.values(), *([login] if login else [])])
    lines: list[str] = []
    following = ""
    try:
        async with context.clients.logs(base, token) as client:
            for _ in range(MOST_PIECES):
                piece = await client.read_logs(file.environment.app, following)
                lines += [
                    hide(log_line(entry)) for entry in piece.entries if _is_of_now(entry, begins)
                ]
                following = piece.following
                if not piece.entries or not following:
                    break
    except RoostError as error:
        return Log((), error.what)
    return Log(tuple(lines[-MOST_LINES:]))


def _is_of_now(entry: LogEntry, begins: Mapping[str, datetime | None]) -> bool:
    """Return whether an entry is about a machine's present config; one of no known machine is."""
    begin = begins.get(entry.instance)
    return begin is None or is_since(entry, begin)


def _log_api(context: Context, target: Target) -> tuple[str, SecretText]:
    """Return the address of the API of logs, and the token for it."""
    if target.local is not None:
        token = context.environ.get("FLY_API_TOKEN") or LOCAL_TOKEN
        return f"{target.local.api_url}{BELOW}", SecretText(token)
    base = context.environ.get("FLY_API_BASE_URL") or WEB_API
    return f"{base.rstrip('/')}{BELOW}", fly_token(context.environ)


async def _has_image(context: Context, target: Target, machines: Iterable[Machine]) -> bool | None:
    """Return whether the registry has the image that the machines start; None if nobody can tell."""
    images = {str((machine.config or {}).get("image", "")) for machine in machines}
    found = [image for image in images if is_our_image(image)]
    if len(found) != 1 or target.local is not None:
        return None
    app, _, tag = found[0].removeprefix(f"{REGISTRY}/").partition(":")
    try:
        token = fly_token(context.environ)
        async with context.clients.registry(registry_host(context), token) as registry:
            return await registry.has(app, tag)
    except RoostError:
        return None

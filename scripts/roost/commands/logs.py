"""`roost logs`: what the machines of an environment wrote. It wakes nobody."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio

from roost.environment.fields import parse_duration
from roost.environment.load import load_unit
from roost.errors import ExitCode, FlyForbiddenError, FlyUnauthorizedError, UsageError
from roost.fly.logs import BELOW, WEB_API, LogsClient
from roost.fly.models import LogEntry
from roost.operations.context import Context
from roost.operations.fly_target import LOCAL_TOKEN, ensure_local_fly, fly_token
from roost.operations.local_fly import local_fly_at
from roost.report.log_lines import is_since, log_line
from roost.secret_text import SecretText

POLL_S = 1.0
MOST_PIECES = 100
"""Without `--follow` no more is read, so that a log that grows faster than it is read ends."""
Sleep = Callable[[float], Awaitable[None]]


async def logs(  # noqa: PLR0913 - the options of the command
    context: Context,
    name: str,
    *,
    follow: bool,
    since: str,
    machine: str,
    local: bool,
    as_json: bool,
    sleep: Sleep = anyio.sleep,
) -> ExitCode:
    """Print the log of a server, a flow server or the waker; with `follow` until Ctrl-C.

    Raises:
        UsageError: `since` is no duration.
        FlyUnauthorizedError: the token may not read logs.
    """
    file = load_unit(name, context.environments)
    begin = _begin(since, datetime.now(UTC)) if since else None

    def show(entry: LogEntry) -> None:
        if begin is not None and not is_since(entry, begin):
            return
        if as_json:
            context.out.print(json.dumps(entry.model_dump()), markup=False, soft_wrap=True)
        else:
            context.out.print(log_line(entry), markup=False, soft_wrap=True)

    base, token = await _api(context, local=local)
    async with context.clients.logs(base, token) as client:
        try:
            await _read(client, file.environment.app, machine, show, follow=follow, sleep=sleep)
        except (FlyUnauthorizedError, FlyForbiddenError) as error:
            raise type(error)(
                error.what,
                where=error.where,
                advice="A token of one app may not read its log. Make one of the organization: "
                "`fly tokens create org`, or use `fly logs -a APP` after `fly auth login`.",
                status=error.status,
                request_id=error.request_id,
            ) from error
    return ExitCode.DONE


async def _read(  # noqa: PLR0913 - what is read, and how
    client: LogsClient,
    app: str,
    machine: str,
    show: Callable[[LogEntry], None],
    *,
    follow: bool,
    sleep: Sleep,
) -> None:
    """Read piece after piece; without `follow` until one is empty."""
    token, pieces = "", 0
    while True:
        piece = await client.read_logs(app, token, machine)
        pieces += 1
        for entry in piece.entries:
            show(entry)
        ends = not piece.entries or not piece.following or pieces >= MOST_PIECES
        if ends and not follow:
            return
        token = piece.following or token
        if not piece.entries:
            await sleep(POLL_S)


async def _api(context: Context, *, local: bool) -> tuple[str, SecretText]:
    """Return the address of the API of logs, and the token for it."""
    if local:
        running, _ = await ensure_local_fly(context)
        return f"{running.api_url}{BELOW}", SecretText(LOCAL_TOKEN)
    token = fly_token(context.environ)
    # On this computer one local Fly serves all of Fly's APIs.
    here = local_fly_at(context.environ.get("FLY_FLAPS_BASE_URL", ""))
    base = context.environ.get("FLY_API_BASE_URL") or (here.api_url if here else WEB_API)
    return f"{base.rstrip('/')}{BELOW}", token


def _begin(since: str, now: datetime) -> datetime:
    try:
        return now - parse_duration(since)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {since} is no duration.", where="--since", advice="Examples: 10m, 2h, 1h30m."
        ) from None

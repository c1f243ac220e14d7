"""What can be seen on Fly, with the token at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from roost.doctor.check import Check, missing, ok, unknown
from roost.environment.load import EnvironmentFile
from roost.errors import FlyForbiddenError, FlyUnauthorizedError, RoostError
from roost.fly.client import FlyClient
from roost.fly.token import ends_soon, token_ends
from roost.report.setup import DAYS_30
from roost.secret_text import SecretText


async def fly_checks(
    fly: FlyClient, token: SecretText, files: Iterable[EnvironmentFile], now: datetime
) -> AsyncIterator[Check]:
    """Look at the token, and at what it reaches."""
    try:
        tokens = await fly.current_tokens()
    except FlyUnauthorizedError:
        yield missing("FLY_API_TOKEN is wrong, expired or revoked", _make("APP"))
        return
    except RoostError as error:
        yield unknown(f"what FLY_API_TOKEN reaches is not to be seen: {error}")
    else:
        apps = sorted({app for found in tokens for app in found.apps})
        wide = [found.org_slug or "an organization" for found in tokens if not found.apps]
        if wide:
            yield unknown(
                f"FLY_API_TOKEN reaches all of {', '.join(wide)}: fine if it only reads, which Fly "
                "does not tell; too much for a deployment",
                _make("APP"),
            )
        else:
            yield ok(f"FLY_API_TOKEN reaches {', '.join(apps) or 'nothing'} alone")
    yield _ending(token, now)
    for file in files:
        yield await _app(fly, file)


def _ending(token: SecretText, now: datetime) -> Check:
    end = token_ends(token)
    if end is None:
        return unknown("when FLY_API_TOKEN ends cannot be read from it")
    told = f"{end:%Y-%m-%d %H:%M} UTC"
    if ends_soon(token, now):
        word = "ends" if end > now else "ended"
        return missing(f"FLY_API_TOKEN {word} at {told}", _make("APP"))
    return ok(f"FLY_API_TOKEN ends at {told}")


async def _app(fly: FlyClient, file: EnvironmentFile) -> Check:
    name, app, wanted = file.name, file.environment.app, file.environment.organization
    try:
        found = await fly.get_app(app)
    except FlyForbiddenError:
        return missing(f"FLY_API_TOKEN does not reach the app {app}", _make(app), name)
    except RoostError as error:
        return unknown(f"the app {app} is not to be seen: {error}", "", name)
    if found is None:
        what = f"there is no app {app}, which a token of one app cannot create"
        return missing(what, f"fly apps create {app} --org {wanted}", name)
    if found.organization.slug not in ("", wanted):
        told = f"the app {app} belongs to {found.organization.slug}, not to {wanted}"
        return missing(told, f"correct `organization` in {file.path}", name)
    return ok(f"FLY_API_TOKEN reaches the app {app}", name)


def _make(app: str) -> str:
    return f"fly tokens create deploy -a {app} -x {DAYS_30}"

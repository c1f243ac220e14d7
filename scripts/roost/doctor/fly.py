"""Check the Fly token and the apps that it gives access to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from roost.doctor.check import Check, missing, ok, unknown
from roost.environment.load import EnvironmentFile
from roost.environment.units import units
from roost.errors import FlyForbiddenError, FlyUnauthorizedError, RoostError
from roost.fly.client import FlyClient
from roost.fly.token import ends_soon, token_ends
from roost.report.setup import DAYS_30
from roost.secret_text import SecretText

_TWO_APPS = (
    "then join the tokens of the server's app and of this one with a comma, without the second `FlyV1 `, "
    "in FLY_API_TOKEN"
)


async def fly_checks(
    fly: FlyClient, token: SecretText, files: Iterable[EnvironmentFile], now: datetime
) -> AsyncIterator[Check]:
    """Check the token, and the app of each environment."""
    try:
        tokens = await fly.current_tokens()
    except FlyUnauthorizedError:
        yield missing("FLY_API_TOKEN is wrong, expired or revoked", _make("APP"))
        return
    except RoostError as error:
        yield unknown(f"what FLY_API_TOKEN reaches could not be read: {error}")
    else:
        apps = sorted({app for found in tokens for app in found.apps})
        wide = [found.org_slug or "an organization" for found in tokens if not found.apps]
        if wide:
            yield unknown(
                f"FLY_API_TOKEN reaches all of {', '.join(wide)}: fine if it only reads, which Fly "
                "does not show; too much for a deployment",
                _make("APP"),
            )
        else:
            yield ok(f"FLY_API_TOKEN reaches only {', '.join(apps) or 'nothing'}")
    yield _ending(token, now)
    for unit in (unit for file in files for unit in units(file)):
        yield await _app(fly, unit)


def _ending(token: SecretText, now: datetime) -> Check:
    end = token_ends(token)
    if end is None:
        return unknown("when FLY_API_TOKEN ends cannot be read from it")
    at = f"{end:%Y-%m-%d %H:%M} UTC"
    if ends_soon(token, now):
        word = "ends" if end > now else "ended"
        return missing(f"FLY_API_TOKEN {word} at {at}", _make("APP"))
    return ok(f"FLY_API_TOKEN ends at {at}")


async def _app(fly: FlyClient, file: EnvironmentFile) -> Check:
    name, app, wanted = file.name, file.environment.app, file.environment.organization
    try:
        found = await fly.get_app(app)
    except FlyForbiddenError:
        mend = f"{_make(app)}; {_TWO_APPS}" if file.beside else _make(app)
        return missing(f"FLY_API_TOKEN does not reach the app {app}", mend, name)
    except RoostError as error:
        return unknown(f"the app {app} could not be read: {error}", "", name)
    if found is None:
        what = f"there is no app {app}, which a token of one app cannot create"
        return missing(what, f"fly apps create {app} --org {wanted}", name)
    if found.organization.slug not in ("", wanted):
        what = f"the app {app} belongs to {found.organization.slug}, not to {wanted}"
        return missing(what, f"correct `organization` in {file.path}", name)
    return ok(f"FLY_API_TOKEN reaches the app {app}", name)


def _make(app: str) -> str:
    return f"fly tokens create deploy -a {app} -x {DAYS_30}"

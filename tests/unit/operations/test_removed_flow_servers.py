"""What a flow server leaves behind: an app that no file names, and a record at its Prefect server."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from rich.console import Console

from helpers.environments import environment_file
from helpers.fake_prefect import LOGIN, opens
from helpers.flow_folders import NIGHTLY
from roost.environment.flow_units import flow_units
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyForbiddenError
from roost.fly.models import App, Machine
from roost.operations.context import Clients, Context
from roost.operations.flow_record import forget
from roost.operations.fly_target import Target
from roost.operations.orphaned_apps import find_orphans, left_flow_apps
from roost.plan.desired import ENVIRONMENT_KEY


@dataclass
class FewApps:
    """A Fly with apps, and the environment that the machine of each names."""

    apps: dict[str, str] = field(default_factory=dict)
    may_list: bool = True

    async def list_apps(self, _):
        """Return the apps of an organization, if the token may list them."""
        if not self.may_list:
            raise FlyForbiddenError("Fly answered 403.", advice="")
        return [App(name=name) for name in self.apps]

    async def get_app(self, name):
        """Return an app, or None."""
        return App(name=name) if name in self.apps else None

    async def list_machines(self, name):
        """Return the one machine of an app."""
        config = {"metadata": {ENVIRONMENT_KEY: self.apps[name]}}
        return [Machine.model_validate({"id": "m", "config": config})]


FILE = environment_file(flows=[NIGHTLY])
APP, NAME = FILE.environment.app, FILE.name
LIVE = {APP: NAME, f"{APP}-nightly": f"{NAME}.nightly"}


@pytest.mark.anyio
async def test_a_flow_server_that_left_its_file_is_found():
    others = {f"{APP}-old": f"{NAME}.old", f"{APP}-two": "another", "x-old": f"{NAME}.old"}
    fly = cast("Any", FewApps({**LIVE, **others}))

    assert await left_flow_apps(FILE, fly) == (f"{APP}-old",)
    with pytest.raises(FlyForbiddenError):  # "none was found" would be another thing
        await left_flow_apps(FILE, cast("Any", FewApps(LIVE, may_list=False)))


@pytest.mark.anyio
async def test_drift_says_that_the_entry_is_gone_and_not_the_file(tmp_path):
    fly = cast("Any", FewApps({**LIVE, f"{APP}-old": f"{NAME}.old"}))

    found = await find_orphans(tmp_path, [FILE, *flow_units(FILE)], fly)

    [orphan] = found.apps
    assert (orphan.app, orphan.file_is_gone) == (f"{APP}-old", False)
    assert orphan.why == "its file no longer names it"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "said"),
    [(204, ""), (404, ""), (401, "refuses the login"), (503, "status 503"), (None, "ConnectError")],
)
async def test_the_server_forgets_a_flow_server_that_was_destroyed(status, said):
    asked = []

    def answer(request):
        asked.append((request.method, request.url.path, "authorization" in request.headers))
        if status is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    out = io.StringIO()
    console = Console(file=out, width=80)
    clients = Clients(prefect=opens(answer))
    context = Context({AUTH_SECRET: LOGIN}, Path("/nowhere"), console, console, clients)
    [unit] = flow_units(FILE)

    gone = await forget(context, Target(cast("Any", FewApps(LIVE))), unit, unit.flow)

    assert asked == [("DELETE", "/roost/flow-servers/nightly", True)]
    assert gone is (said == "")
    assert said in out.getvalue()
    assert ("Run the same command again" in out.getvalue()) is not gone


@pytest.mark.anyio
async def test_without_a_server_there_is_no_record():
    quiet = Console(file=io.StringIO())
    context = Context({}, Path("/nowhere"), quiet, quiet)
    [unit] = flow_units(FILE)

    assert await forget(context, Target(cast("Any", FewApps())), unit, unit.flow)

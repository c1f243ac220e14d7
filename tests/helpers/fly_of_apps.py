"""Several apps on one fake Fly: each has a `FakeFly` of its own, and answers calls about itself."""

from __future__ import annotations

import json
from typing import Any

import httpx

from helpers.fake_fly import FakeFly
from helpers.fly_answers import says

Json = dict[str, Any]


class FlyOfApps:
    """Sends each call to the app in its path; `apps` has them by name."""

    def __init__(self, *names: str) -> None:
        self.apps = {name: FakeFly(name) for name in names}
        self.order: list[str] = []
        """The app of each call that changes something, in order."""
        self.lists_volumes = True
        """Whether the token may list an organization's volumes."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        parts = request.url.path.removeprefix("/v1/").split("/")
        if parts == ["apps"] and request.method == "GET":
            return says(
                200, {"apps": [app for one in self.apps.values() for app in _listed(one, request)]}
            )
        if parts[0] == "orgs" and parts[2:] == ["volumes"]:
            return self._volumes_of(parts[1])
        name = parts[1] if len(parts) > 1 else ""
        if parts == ["apps"]:
            name = json.loads(request.content)["name"]
        if name not in self.apps:
            return says(404, {"error": "app not found"})
        if request.method != "GET":
            self.order.append(name)
        return self.apps[name](request)

    def _volumes_of(self, organization: str) -> httpx.Response:
        if not self.lists_volumes:
            return says(403, {"error": "unauthorized"})
        volumes = [
            {**volume, "app_name": name}
            for name, one in self.apps.items()
            if one.organization == organization
            for volume in one.volumes.values()
        ]
        return says(200, {"volumes": volumes, "next_cursor": ""})

    @property
    def changes(self) -> list[str]:
        """Every call that changes something, app by app."""
        return [f"{name}: {change}" for name, one in self.apps.items() for change in one.changes]

    def versions(self) -> set[str]:
        """The versions of all machines' configs."""
        return {m["instance_id"] for one in self.apps.values() for m in one.machines.values()}


def _listed(app: FakeFly, request: httpx.Request) -> list[Json]:
    found: list[Json] = json.loads(app(request).content)["apps"]
    return found

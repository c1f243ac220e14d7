"""The root fields of GraphQL mutations, by Fly's names; each does what its REST sibling does."""

from __future__ import annotations

from typing import Any

from localfly.api import ip_assignments
from localfly.api.apps import check_secret
from localfly.api.graphql import documents
from localfly.api.graphql.queries import Queries, not_found
from localfly.api.organizations import organization_of
from localfly.api.requests import ApiState
from localfly.api.tokens import expiry
from localfly.state.records import App

Json = dict[str, Any]


class Mutations(Queries):
    """Resolves the root fields of mutations, beside those of queries."""

    def _app(self, name: str) -> App:
        found = self._world.apps.get(name)
        if found is None:
            raise not_found("App")
        return found

    def allocateIpAddress(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Assign an IP address to an app."""
        app = self._app(input["appId"])
        ip = ip_assignments.assign(
            self._world, app, input["type"], input.get("region"), input.get("serviceName")
        )
        # Fly shows a shared address as the app's, not as one that was allocated.
        shown = None if ip["shared"] else documents.address(ip)
        return {"app": documents.app(self._api, app), "ipAddress": shown}

    def releaseIpAddress(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Release an IP address of an app."""
        app = self._app(input.get("appId") or "")
        ip_assignments.release(self._world, app, input.get("ip") or input.get("ipAddressId") or "")
        return {"app": documents.app(self._api, app)}

    def setSecrets(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Set secrets of an app; there is no release, since no machine is restarted."""
        values: dict[str, str | None] = {s["key"]: s["value"] for s in input["secrets"]}
        if input.get("replaceAll"):
            values = {**dict.fromkeys(self._app(input["appId"]).secrets), **values}
        return self._write_secrets(input["appId"], values)

    def unsetSecrets(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Unset secrets of an app."""
        return self._write_secrets(input["appId"], dict.fromkeys(input["keys"]))

    def _write_secrets(self, name: str, values: dict[str, str | None]) -> Json:
        app = self._app(name)
        for key, value in values.items():
            check_secret(key, value)
        self._world.set_secrets(app, values)
        return {"app": documents.app(self._api, app), "release": None}

    def createLimitedAccessToken(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Make a token. It is an opaque string with all rights, whatever its profile says."""
        slug = organization_of(self._world, input["organizationId"])
        # flyctl names the app by its id in GraphQL, which is its name.
        named = input.get("profileParams")
        app = str(named.get("app_id") or "") if isinstance(named, dict) else ""
        ends = expiry(input.get("expiry"))
        made, value = self._world.create_token(
            input["name"], slug, app, profile=input["profile"], expires_at=ends
        )
        return {"limitedAccessToken": documents.token(self._api, made, value)}

    def deleteLimitedAccessToken(self, _info: Any, input: Json) -> Json:  # noqa: A002, N802 - Fly's names
        """Revoke a token by its id."""
        found = self._world.tokens.get(input.get("id") or "")
        if found is None:
            raise not_found("LimitedAccessToken")
        self._world.revoke_token(found)
        return {"token": found.id}


def root(api: ApiState) -> Mutations:
    """Return the object whose methods are all root fields."""
    return Mutations(api)

"""The root fields of GraphQL queries, by Fly's names."""

from __future__ import annotations

from typing import Any

from localfly.api.graphql import documents
from localfly.api.organizations import apps_of, organization_of, organizations
from localfly.api.requests import ApiState
from localfly.api_errors import ApiError
from localfly.config.regions import DEFAULT, REGIONS

Json = dict[str, Any]


def not_found(kind: str) -> ApiError:
    """Return GraphQL's error for something that does not exist, in the words flyctl looks for."""
    return ApiError(404, f"Could not find {kind}")


class Queries:
    """Resolves root fields: each method is one, with its arguments by name."""

    def __init__(self, api: ApiState) -> None:
        self._api = api
        self._world = api.world

    def app(self, _info: Any, name: str | None = None, **others: Any) -> Json:
        """Return an app by its name, which is its id, too."""
        wanted = name or others.get("id") or others.get("internalId") or ""
        found = self._world.apps.get(wanted)
        if found is None:
            raise not_found("App")
        return documents.app(self._api, found)

    def apps(self, _info: Any, **filters: Any) -> Json:
        """Return the apps of all organizations, or of one."""
        slugs = organizations(self._world)
        if filters.get("organizationId"):
            slugs = [organization_of(self._world, filters["organizationId"])]
        role = filters.get("role")
        found = [app for slug in slugs for app in apps_of(self._world, slug)]
        shown = [documents.app(self._api, app) for app in found if role in (None, "", app.role)]
        return documents.connection(shown, filters.get("first"), filters.get("after"))

    def appNameAvailable(self, _info: Any, name: str) -> bool:  # noqa: N802 - Fly's name
        """Return whether a name is not taken."""
        return name not in self._world.apps

    def addOns(self, _info: Any, **_: Any) -> Json:  # noqa: N802 - Fly's name
        """Return the add-ons, of which there are none here."""
        return documents.connection([])

    def canPerformBluegreenDeployment(self, _info: Any, name: str) -> bool:  # noqa: N802 - Fly's name
        """Return whether an app can be deployed blue-green, which every app can."""
        self._world.app(name)
        return True

    def latestImageDetails(self, _info: Any, image: str, **_: Any) -> Json:  # noqa: N802 - Fly's name
        """Refuse: Fly answers so for every image that is not one of its own, such as postgres."""
        raise ApiError(404, f"Unknown repository: {image}")

    def latestImageTag(self, _info: Any, repository: str, **_: Any) -> str:  # noqa: N802 - Fly's name
        """Refuse, as `latestImageDetails` does."""
        raise ApiError(404, f"Unknown repository: {repository}")

    def machine(self, _info: Any, machineId: str) -> Json:  # noqa: N803 - Fly's name
        """Return a machine of any app."""
        found = self._world.machines.get(machineId)
        if found is None:
            raise not_found("Machine")
        return documents.machine(self._api, found)

    def volume(self, _info: Any, id: str) -> Json:  # noqa: A002 - Fly's name
        """Return a volume of any app."""
        found = self._world.volumes.get(id)
        if found is None:
            raise not_found("Volume")
        return documents.volume(self._api, found)

    def organization(self, _info: Any, slug: str | None = None, **others: Any) -> Json:
        """Return an organization by its slug, name or id."""
        wanted = slug or others.get("name") or others.get("id") or ""
        return documents.organization(self._api, organization_of(self._world, wanted))

    def organizations(self, _info: Any, **page: Any) -> Json:
        """Return the organizations: the personal one, and each that has an app."""
        shown = [documents.organization(self._api, slug) for slug in organizations(self._world)]
        return documents.connection(shown, page.get("first"), page.get("after"))

    def personalOrganization(self, _info: Any) -> Json:  # noqa: N802 - Fly's name
        """Return the personal organization."""
        return documents.organization(self._api, "personal")

    def platform(self, _info: Any) -> Json:
        """Return the regions."""
        return {"regions": [documents.region(r) for r in REGIONS], "requestRegion": DEFAULT}

    def nearestRegion(self, _info: Any, **_: Any) -> Json:  # noqa: N802 - Fly's name
        """Return the region that the client counts as near to."""
        return next(documents.region(r) for r in REGIONS if r.code == DEFAULT)

    def viewer(self, _info: Any) -> Json:
        """Return the user; every token belongs to the same one."""
        return documents.USER

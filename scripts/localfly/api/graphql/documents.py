"""What GraphQL shows of apps, machines, volumes, releases and organizations.

Each is a mapping from Fly's field names to values; a field that takes arguments, costs something or
leads back to another document is a function, which is called only if a query asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from localfly.api.apps import is_deployed
from localfly.api.machines import image_ref
from localfly.api.organizations import apps_of, organization_id
from localfly.api.platform import show_region
from localfly.api.requests import MAX_DIGITS, ApiState
from localfly.config.regions import Region
from localfly.state.records import App, Machine, Token, Volume
from localfly.state.world import folder_bytes

Json = dict[str, Any]
Lazy = Callable[..., Any]
USER: Json = {
    "__typename": "User",
    "id": "local",
    "email": "local@localfly",
    "name": "local",
    "enablePaidHobby": False,
}


def connection(items: Sequence[Any], first: int | None = None, after: str | None = None) -> Json:
    """Return one page of items; a cursor is the number of items before it."""
    begin = int(after[:MAX_DIGITS]) if after and after.isdecimal() else 0
    end = len(items) if first is None else min(len(items), begin + max(0, first))
    return {
        "nodes": items[begin:end],
        "totalCount": len(items),
        "pageInfo": {
            "hasNextPage": end < len(items),
            "hasPreviousPage": begin > 0,
            "startCursor": str(begin),
            "endCursor": str(end),
        },
    }


def paged(list_items: Callable[[], Sequence[Any]]) -> Lazy:
    """Return the function of a field that shows items page by page."""

    def field(_info: Any, first: int | None = None, after: str | None = None, **_: Any) -> Json:
        return connection(list_items(), first, after)

    return field


def once(make: Callable[[], Any]) -> Lazy:
    """Return the function of a field without arguments."""
    return lambda _info, **_: make()


def _none() -> list[Any]:
    return []


def organization(api: ApiState, slug: str) -> Json:
    """Return an organization by its slug."""
    tokens = api.world.tokens.values()
    return {
        "id": organization_id(slug),
        "internalNumericId": "1",
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": "PERSONAL" if slug == "personal" else "SHARED",
        "paidPlan": True,
        "billable": True,
        "billingStatus": "CURRENT",
        "provisionsBetaExtensions": False,
        "viewerRole": "admin",
        "remoteBuilderImage": "",
        "apps": paged(lambda: [app(api, found) for found in apps_of(api.world, slug)]),
        "addOns": paged(_none),
        "limitedAccessTokens": paged(
            lambda: [token(api, t) for t in tokens if t.organization == slug and not t.app]
        ),
    }


def app(api: ApiState, found: App) -> Json:
    """Return an app. Its id in GraphQL is its name."""
    world = api.world
    hostname = f"{found.name}.fly.dev"
    machines = world.machines_of(found.name)
    shared = next((ip["ip"] for ip in found.ips if ip["shared"]), None)
    releases = [release(r) for r in found.releases]
    return {
        "id": found.name,
        "internalNumericId": found.number,
        "name": found.name,
        "createdAt": found.created_at,
        "hostname": hostname,
        "cnameTarget": hostname,
        "appUrl": f"https://{hostname}",
        "deployed": is_deployed(world, found),
        "status": "deployed" if machines else "pending",
        "platformVersion": "machines",
        "network": None if found.network == "default" else found.network,
        "version": found.releases[0]["version"] if found.releases else 0,
        "role": {"__typename": "EmptyAppRole", "name": found.role},
        "organization": once(lambda: organization(api, found.organization)),
        "config": {"definition": (found.releases[0]["definition"] if found.releases else {}) or {}},
        "services": [],
        "secrets": [
            {"id": name, "name": name, "digest": s["digest"], "createdAt": s["created_at"]}
            for name, s in sorted(found.secrets.items())
        ],
        "currentRelease": releases[0] if releases else None,
        "currentReleaseUnprocessed": releases[0] if releases else None,
        "releases": paged(lambda: releases),
        "releasesUnprocessed": _releases(releases),
        "sharedIpAddress": shared,
        "ipAddresses": paged(lambda: [address(ip) for ip in found.ips if not ip["shared"]]),
        "egressIpAddresses": paged(_none),
        "machines": paged(lambda: [machine(api, m) for m in machines]),
        "addOns": paged(_none),
        "limitedAccessTokens": paged(
            lambda: [token(api, t) for t in world.tokens.values() if t.app == found.name]
        ),
        "imageDetails": once(lambda: _image_of(machines[0]) if machines else None),
        "image": lambda _info, ref: image(api, ref),
    }


def _releases(releases: list[Json]) -> Lazy:
    """Return the function of the field that shows releases, of one status if it is named."""

    def field(_info: Any, status: str | None = None, **page: Any) -> Json:
        wanted = [r for r in releases if not status or r["status"] == status]
        return connection(wanted, page.get("first"), page.get("after"))

    return field


def release(record: Json) -> Json:
    """Return a release of an app."""
    return {
        "id": record["id"],
        "version": record["version"],
        "status": record["status"],
        "stable": record["status"] == "complete",
        "inProgress": record["status"] in ("pending", "running"),
        "description": "Release",
        "reason": "",
        "deploymentStrategy": record["strategy"],
        "imageRef": record["image_ref"],
        "configDefinition": record["definition"],
        "createdAt": record["created_at"],
        "updatedAt": record["updated_at"],
        "user": USER,
    }


def address(ip: Json) -> Json:
    """Return an IP address of an app; its id is the address."""
    return {
        "id": ip["ip"],
        "address": ip["ip"],
        "type": ip["type"],
        "region": ip["region"],
        "serviceName": ip["service_name"],
        "createdAt": ip["created_at"],
    }


def machine(api: ApiState, found: Machine) -> Json:
    """Return a machine."""
    ip = {"id": found.id, "family": "v4", "kind": "privatenet", "ip": found.address, "maskSize": 8}
    return {
        "id": found.id,
        "name": found.name,
        "state": found.state,
        "region": found.region,
        "config": found.config,
        "instanceId": found.instance_id,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "host": {"id": "local"},
        "ips": paged(lambda: [ip] if found.address else []),
        "egressIpAddresses": paged(_none),
        "app": once(lambda: app(api, api.world.app(found.app))),
    }


def volume(api: ApiState, found: Volume) -> Json:
    """Return a volume."""
    attached = api.world.machines.get(found.attached_machine_id or "")
    return {
        "id": found.id,
        "name": found.name,
        "state": found.state,
        "region": found.region,
        "sizeGb": found.size_gb,
        "encrypted": found.encrypted,
        "createdAt": found.created_at,
        "snapshotRetentionDays": found.snapshot_retention,
        "app": once(lambda: app(api, api.world.app(found.app))),
        "attachedMachine": once(lambda: machine(api, attached) if attached else None),
        "snapshots": paged(lambda: [_snapshot(record) for record in found.snapshots]),
    }


def _snapshot(record: Json) -> Json:
    return {
        "id": record["id"],
        "size": str(record["size"]),
        "digest": record["digest"],
        "createdAt": record["created_at"],
        "retentionDays": record["retention_days"],
    }


def image(api: ApiState, ref: str) -> Json | None:
    """Return a built image; None for one that is not known here."""
    found = api.images.lookup(ref)
    if found is None:
        return None
    size = folder_bytes(found.folder)
    parts = image_ref(ref, found.digest)
    return {
        **{name: parts[name] for name in ("registry", "repository", "tag", "digest")},
        "id": found.digest,
        "ref": ref,
        "manifest": {},
        "compressedSize": min(size, 2**31 - 1),
        "compressedSizeFull": str(size),
    }


def _image_of(found: Machine) -> Json:
    parts = image_ref(found.config["image"], found.image_digest)
    return {name: parts[name] for name in ("registry", "repository", "tag", "digest")}


def token(api: ApiState, found: Token, value: str = "") -> Json:
    """Return a token; its value is shown once, when it is made."""
    return {
        "id": found.id,
        "name": found.name,
        "profile": found.profile,
        "createdAt": found.created_at,
        "expiresAt": found.expires_at,
        "revokedAt": found.revoked_at,
        "token": value,
        "tokenHeader": f"FlyV1 {value}" if value else None,
        "user": USER,
        "organization": once(lambda: organization(api, found.organization)),
    }


def region(found: Region) -> Json:
    """Return a region."""
    shown = show_region(found)
    return {
        **{name: shown[name] for name in ("code", "name", "latitude", "longitude", "deprecated")},
        "gatewayAvailable": shown["gateway_available"],
        "requiresPaidPlan": shown["requires_paid_plan"],
    }

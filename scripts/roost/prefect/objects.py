"""Read, create, change and remove Prefect's own objects, one class for each way that its API has.

A body is that of Prefect's create call, but for blocks, whose ids a file cannot know: their type is
named by its slug, and the ids are looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from roost.prefect.objects_api import ObjectRefusedError, ObjectsApi

Json = dict[str, Any]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LIVE_STATES = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")


@dataclass(frozen=True)
class Found:
    """An object on the server.

    Args:
        id: its id.
        fields: its fields as Prefect returns them; of a block, its data with secrets hidden.
        updated: when it was last changed, as Prefect returns it.
        secret_fields: of a block, the fields that Prefect keeps secret, such as `url` or `logins.*`.
    """

    id: str
    fields: Json
    updated: str = ""
    secret_fields: tuple[str, ...] = ()


class Kind(Protocol):
    """One kind of object.

    Each method raises ObjectRefusedError or ObjectsUnreachableError.
    """

    async def find(self, api: ObjectsApi, name: str) -> Found | None:
        """Return the object of a name; None if there is none."""

    async def create(self, api: ObjectsApi, body: Json) -> None:
        """Create an object."""

    async def change(self, api: ObjectsApi, found: Found, fields: Json) -> None:
        """Change fields of an object; the others stay."""

    async def remove(self, api: ObjectsApi, found: Found) -> None:
        """Remove an object."""

    async def resolve(self, api: ObjectsApi, body: Json) -> Json:
        """Return a body with the ids in place of names."""


@dataclass(frozen=True)
class Named:
    """Objects that the API knows by their name.

    Args:
        path: of the collection, such as `/work_pools/`.
        item: of one object, before its name.
        fixed: fields that cannot be changed.
    """

    path: str
    item: str
    fixed: frozenset[str] = frozenset()

    async def find(self, api: ObjectsApi, name: str) -> Found | None:
        """Return the object of a name; None if there is none."""
        fields = await api.read(self._at(name))
        return None if fields is None else Found(str(fields["id"]), fields)

    async def create(self, api: ObjectsApi, body: Json) -> None:
        """Create an object."""
        await api.write("POST", self.path, body)

    async def change(self, api: ObjectsApi, found: Found, fields: Json) -> None:
        """Change fields of an object; the others stay."""
        for field in self.fixed & fields.keys():
            raise ObjectRefusedError(
                f"its {field} is {found.fields.get(field)} on the server, and Prefect cannot change that; "
                "choose another name, or remove it by hand first"
            )
        await api.write("PATCH", self._at(str(found.fields["name"])), fields)

    async def remove(self, api: ObjectsApi, found: Found) -> None:
        """Remove an object."""
        await api.remove(self._at(str(found.fields["name"])))

    async def resolve(self, api: ObjectsApi, body: Json) -> Json:  # noqa: ARG002 - see Kind
        """Return the body as it is: it names nothing else."""
        return body

    def _at(self, name: str) -> str:
        return f"{self.item}{quote(name, safe='')}"


class WorkPools(Named):
    """Work pools: their type is fixed, and one with runs is not removed."""

    async def remove(self, api: ObjectsApi, found: Found) -> None:
        """Remove a pool that no run waits for or is executed by."""
        name = str(found.fields["name"])
        chosen = {
            "work_pools": {"name": {"any_": [name]}},
            "flow_runs": {"state": {"type": {"any_": list(_LIVE_STATES)}}},
        }
        if runs := int(await api.write("POST", "/flow_runs/count", chosen)):
            noun = "run is" if runs == 1 else "runs are"
            raise ObjectRefusedError(
                f"it is not removed: {runs} {noun} scheduled or running in it; pause its deployments "
                "and let them end"
            )
        await super().remove(api, found)


class Automations:
    """Automations: the API knows them by id, and two may have one name."""

    _FIELDS = (
        *("name", "description", "enabled", "tags", "trigger", "actions"),
        *("actions_on_trigger", "actions_on_resolve"),
    )

    async def find(self, api: ObjectsApi, name: str) -> Found | None:
        """Return the automation of a name; None if there is none."""
        chosen = {"automations": {"name": {"any_": [name]}}, "limit": 10}
        found = await api.write("POST", "/automations/filter", chosen)
        if len(found) > 1:
            raise ObjectRefusedError(
                f"there are {len(found)} automations of this name; remove all but one by hand"
            )
        return Found(str(found[0]["id"]), found[0]) if found else None

    async def create(self, api: ObjectsApi, body: Json) -> None:
        """Create an automation."""
        await api.write("POST", "/automations/", body)

    async def change(self, api: ObjectsApi, found: Found, fields: Json) -> None:
        """Replace an automation, with the fields that the file does not set as they were."""
        kept = {name: found.fields[name] for name in self._FIELDS if name in found.fields}
        await api.write("PUT", f"/automations/{found.id}", {**kept, **fields})

    async def remove(self, api: ObjectsApi, found: Found) -> None:
        """Remove an automation."""
        await api.remove(f"/automations/{found.id}")

    async def resolve(self, api: ObjectsApi, body: Json) -> Json:
        """Return a body whose actions name blocks and work pools by id.

        A file writes `block_document_id: TYPE/NAME` and `work_pool_id: NAME`, as it cannot know ids.
        """
        resolved = dict(body)
        for field in ("actions", "actions_on_trigger", "actions_on_resolve"):
            if isinstance(body.get(field), list):
                resolved[field] = [await self._action(api, action) for action in body[field]]
        return resolved

    async def _action(self, api: ObjectsApi, action: Any) -> Any:
        if not isinstance(action, dict):
            return action
        ids = {}
        for field, section in (("block_document_id", "blocks"), ("work_pool_id", "work_pools")):
            name = action.get(field)
            if isinstance(name, str) and not _UUID.fullmatch(name):
                found = await KINDS[section].find(api, name)
                if found is None:
                    raise ObjectRefusedError(f"{field}: there is no {section}/{name} on the server")
                ids[field] = found.id
        return {**action, **ids}


class Blocks:
    """Documents of blocks, named `TYPE/NAME`; Prefect never returns their secret fields."""

    async def find(self, api: ObjectsApi, name: str) -> Found | None:
        """Return the document of a name; None if there is none."""
        slug, _, own = name.partition("/")
        of_type = f"/block_types/slug/{quote(slug, safe='')}"
        found = await api.read(f"{of_type}/block_documents/name/{quote(own, safe='')}")
        if found is None:
            return None
        secret = tuple(_secret_fields(found.get("block_schema")))
        return Found(str(found["id"]), found["data"], str(found.get("updated") or ""), secret)

    async def create(self, api: ObjectsApi, body: Json) -> None:
        """Create a document, by the newest schema of its type."""
        type_id, schema = await self._schema(api, str(body["type"]))
        fields = {"name": body["name"], "data": body["data"], "block_type_id": type_id}
        await api.write("POST", "/block_documents/", {**fields, "block_schema_id": schema["id"]})

    async def change(self, api: ObjectsApi, found: Found, fields: Json) -> None:
        """Change fields of a document's data; the others stay."""
        body = {"data": fields, "merge_existing_data": True}
        await api.write("PATCH", f"/block_documents/{found.id}", body)

    async def remove(self, api: ObjectsApi, found: Found) -> None:
        """Remove a document."""
        await api.remove(f"/block_documents/{found.id}")

    async def resolve(self, api: ObjectsApi, body: Json) -> Json:  # noqa: ARG002 - see Kind
        """Return the body as it is: secrets are filled in elsewhere."""
        return body

    async def secret_fields(self, api: ObjectsApi, slug: str) -> tuple[str, ...]:
        """Return the fields that the newest schema of a block type keeps secret."""
        _, schema = await self._schema(api, slug)
        return tuple(_secret_fields(schema))

    async def _schema(self, api: ObjectsApi, slug: str) -> tuple[str, Json]:
        found = await api.read(f"/block_types/slug/{quote(slug, safe='')}")
        if found is None:
            raise ObjectRefusedError(
                f"this server has no block type {slug}; `prefect block type ls` lists those it has"
            )
        chosen = {"block_schemas": {"block_type_id": {"any_": [found["id"]]}}, "limit": 1}
        schemas = await api.write("POST", "/block_schemas/filter", chosen)
        if not schemas:
            raise ObjectRefusedError(f"this server has no schema of the block type {slug}")
        return str(found["id"]), schemas[0]


def is_kept_secret(path: tuple[str, ...], secret_fields: tuple[str, ...]) -> bool:
    """Return whether Prefect keeps a field of a block secret, as its server decides that.

    Source: `BlockDocument.from_orm_model` of prefect/server/schemas/core.py, 3.8.8 and 3.9.1.
    """
    for field in secret_fields:
        key = tuple(field.split("."))
        if path == key:
            return True
        if "*" in key and path[: key.index("*")] == key[: key.index("*")]:
            return True
    return False


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the place and the value of each part of a block's data that is no mapping."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    else:
        yield path, value


def _secret_fields(schema: Any) -> list[str]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [str(name) for name in (fields or {}).get("secret_fields") or ()]


BLOCKS = Blocks()
KINDS: Mapping[str, Kind] = {
    "variables": Named("/variables/", "/variables/name/"),
    "blocks": BLOCKS,
    "concurrency_limits": Named("/v2/concurrency_limits/", "/v2/concurrency_limits/"),
    "work_pools": WorkPools("/work_pools/", "/work_pools/", frozenset({"type"})),
    "automations": Automations(),
}

"""Make the objects of a Prefect server as their file says, and compare them for drift.

An apply can be killed after any call. Every object is looked up by its name before it is created, and
the record is written last, so the next apply goes on with what is left.
"""

from __future__ import annotations

import copy
import secrets as random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from roost.environment.prefect_objects import (
    BLOCKS,
    SECTIONS,
    PrefectObject,
    secret_name,
    secret_places,
)
from roost.plan.objects_compare import differing, form_of, live_changes, managed, shown_field
from roost.plan.objects_record import ObjectsRecord, Written, with_written
from roost.plan.prefect_objects import entries_of
from roost.plan.secret_fingerprints import SALT_BYTES, fingerprint, same_value
from roost.plan.secrets import gives_new_values
from roost.plan.steps import Change, ReconcileObjects
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.objects import BLOCKS as BLOCK_KIND
from roost.prefect.objects import KINDS, Found, is_kept_secret, leaves
from roost.prefect.objects_api import (
    NOT_PREFECT_S,
    ObjectRefusedError,
    ObjectsApi,
    ObjectsUnreachableError,
)
from roost.prefect.server import NOT_PREFECT, Server, with_csrf
from roost.prefect.transport import OpenServer, prefect_client
from roost.secret_text import SecretText

Json = dict[str, Any]

TIMEOUT_S = 90.0
"""Of one call: the first one may wake the server."""
SECRET_DRIFT = "changed since the last apply"  # noqa: S105 - no secret


@dataclass(frozen=True)
class ObjectsServer:
    """The Prefect server whose objects are set.

    Args:
        find_url: returns its address.
        auth: its login; None for a server without one.
        values: the values of the secrets of blocks, by name.
        open_server: opens a client of the server at its address.
    """

    find_url: Callable[[], Awaitable[str]]
    auth: SecretText | None = None
    values: Mapping[str, SecretText] = field(default_factory=dict)
    open_server: OpenServer = prefect_client

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ObjectsApi]:
        """Yield the API of the server; the first call wakes it."""
        async with self.open_server(await self.find_url(), TIMEOUT_S, headers=GATE_HEADERS) as http:
            server = await with_csrf(Server(http, self.auth))
            yield ObjectsApi(server, tuple(self.values.values()))


@dataclass(frozen=True)
class Outcome:
    """The result of a reconciliation.

    Args:
        record: what is known of the server's objects now.
        failed: by key, why an object is not as the file says.
        done: how many objects were created, changed or removed.
    """

    record: ObjectsRecord
    failed: Mapping[str, str]
    done: int


async def reconcile(
    server: ObjectsServer,
    step: ReconcileObjects,
    record: ObjectsRecord,
    notice: Callable[[str], object],
    claim: Callable[[frozenset[str]], Awaitable[None]],
) -> Outcome:
    """Make the objects as the step says: create, change, then remove. Others are not touched.

    A refusal of one object does not stop the others. If the server stops answering, the rest is left.
    A step that only gives new values of secrets writes only the blocks that have secrets.

    Args:
        server: the server.
        step: the entries of the file, and what is removed.
        record: what the last apply left. An object that it does not know and that exists is adopted.
        notice: called with a line for each object that is written or adopted.
        claim: keeps the keys of the objects that are created next, as this process may be killed then.
    """
    entries = entries_of(step)
    chosen = [entry for entry in entries if entry.secrets or not gives_new_values(step)]
    async with server.open() as api:
        run = _Run(api, server.values, record, notice)
        for entry in chosen:
            await run.attempt(entry.key, partial(run.look_up, entry))
        await claim(frozenset(run.absent))
        for entry in chosen:
            if entry.key not in run.failed:
                await run.attempt(entry.key, partial(run.ensure, entry))
        for key in sorted(step.removed, key=_removal_order):
            await run.attempt(key, partial(run.remove, key))
    return Outcome(run.result(entries, step), run.failed, run.done)


async def find_differences(
    server: ObjectsServer, objects: tuple[PrefectObject, ...], record: ObjectsRecord
) -> tuple[Change, ...]:
    """Return how the server's objects differ from the file, in the fields that the file sets.

    Raises:
        ObjectsUnreachableError: the server does not answer.
    """
    found: list[Change] = []
    async with server.open() as api:
        run = _Run(api, server.values, record, lambda _: None)
        for entry in objects:
            try:
                found += await run.differences(entry)
            except ObjectRefusedError as refusal:
                found.append(Change(entry.key, str(refusal), "as the file says"))
            except NOT_PREFECT:
                raise ObjectsUnreachableError(NOT_PREFECT_S) from None
    return tuple(found)


@dataclass
class _Run:
    """One pass over the objects of a server."""

    api: ObjectsApi
    values: Mapping[str, SecretText]
    record: ObjectsRecord
    notice: Callable[[str], object]
    failed: dict[str, str] = field(default_factory=dict)
    done: int = 0
    before: ObjectsRecord = field(init=False)
    """What the last apply left; `record` learns what this pass writes."""
    unreachable: str = ""
    absent: set[str] = field(default_factory=set)
    """The keys of new entries that the server has no object for."""
    begun: set[str] = field(default_factory=set)
    """The keys of objects that this pass made Roost's; one that may have been created counts."""

    def __post_init__(self) -> None:
        self.before = self.record

    async def attempt(self, key: str, act: Callable[[], Awaitable[None]]) -> None:
        """Carry out one object, and keep why it failed."""
        if self.unreachable:
            self.failed[key] = self.unreachable
            return
        try:
            await act()
        except ObjectRefusedError as refusal:
            self.failed[key] = str(refusal)
        except ObjectsUnreachableError as error:
            self.unreachable = self.failed[key] = str(error)
        except NOT_PREFECT:
            self.unreachable = self.failed[key] = NOT_PREFECT_S

    async def look_up(self, entry: PrefectObject) -> None:
        """Look for the namesake of an entry that the record does not know."""
        if entry.key in self.record.keys:
            return
        if await KINDS[entry.section].find(self.api, entry.name) is None:
            self.absent.add(entry.key)

    async def ensure(self, entry: PrefectObject) -> None:
        """Create an object, or change the fields that differ."""
        kind = KINDS[entry.section]
        found = await kind.find(self.api, entry.name)
        await self._check_secrets(entry, found)
        resolved = replace(entry, body=await kind.resolve(self.api, entry.body))
        if found is None:
            await self._create(resolved)
            self._note(f"{entry.key}: created")
        else:
            fields = self._to_write(entry, resolved, found)
            adopted = entry.key not in self.record.keys
            if not fields:
                self.begun.add(entry.key)
                if adopted:
                    self.notice(f"{entry.key}: adopted as it is")
                return
            wanted = managed(resolved)
            await kind.change(
                self.api, found, self._filled({name: wanted[name] for name in fields})
            )
            self.begun.add(entry.key)
            self._note(
                f"{entry.key}: {'adopted, and ' if adopted else ''}changed {', '.join(fields)}"
            )
        await self._remember(resolved)

    async def remove(self, key: str) -> None:
        """Remove an object of an earlier file."""
        section, _, name = key.partition("/")
        kind = KINDS[section]
        found = await kind.find(self.api, name)
        if found is not None:
            await kind.remove(self.api, found)
            self._note(f"{key}: removed")

    async def differences(self, entry: PrefectObject) -> list[Change]:
        """Return how one object differs from the file."""
        kind = KINDS[entry.section]
        found = await kind.find(self.api, entry.name)
        if found is None:
            return [Change(entry.key, None, "as the file says")]
        resolved = replace(entry, body=await kind.resolve(self.api, entry.body))
        fields = differing(resolved, found.fields, self._written(entry))
        changes = list(live_changes(resolved, found.fields, fields))
        if self._by_hand(entry, found):
            places = dict.fromkeys(path[0] for path, _ in secret_places(entry.body.get("data")))
            changes += [
                Change(shown_field(entry, place), SECRET_DRIFT, "as it was applied")
                for place in places
                if place not in fields
            ]
        return changes

    def result(self, entries: tuple[PrefectObject, ...], step: ReconcileObjects) -> ObjectsRecord:
        """Return the record after the pass.

        After a failure the record is that of before, so that the next plan is the one that was approved,
        and writing again what is written already changes nothing. The key of an entry that is new is
        kept if this pass made the object Roost's, and not otherwise: a namesake that somebody made by
        hand must not be pruned. Where the record and the file say the same, the step heals drift, and the
        next plan has what failed.
        """
        if self.failed:
            tried = {entry.key for entry in entries if self.before.entry(entry.key) != entry}
            heals = not (tried or step.removed or gives_new_values(step))
            return self.before.unfinished_by(self.failed if heals else tried, self.begun)
        gone, kept = set(step.removed), {entry.key for entry in entries}
        others = (self.record.keys | self.begun) - kept - gone
        written = {key: found for key, found in self.record.written.items() if key in kept}
        return ObjectsRecord(entries, tuple(sorted(others)), written)

    async def _create(self, resolved: PrefectObject) -> None:
        """Create an object; it is Roost's unless Prefect refuses it."""
        self.begun.add(resolved.key)
        try:
            await KINDS[resolved.section].create(self.api, self._filled(resolved.body))
        except ObjectRefusedError:
            self.begun.discard(resolved.key)
            raise

    def _to_write(
        self, entry: PrefectObject, resolved: PrefectObject, found: Found
    ) -> tuple[str, ...]:
        """Return the fields to write: those that differ, and secrets that are not as applied."""
        unchanged = self.record.entry(entry.key) == entry
        written = self._written(entry) if unchanged else Written()
        fields = differing(resolved, found.fields, written)
        places = [*secret_places(entry.body.get("data"))]
        if places and not self._secrets_are_known(entry, found):
            fields = tuple(dict.fromkeys((*fields, *(path[0] for path, _ in places))))
        return fields

    def _secrets_are_known(self, entry: PrefectObject, found: Found) -> bool:
        """Return whether a block has the values of its secrets that are here, and nobody changed it.

        After a restore the time of its last change is unknown, so its values are, too.
        """
        prints = self._written(entry).fingerprints if self._written(entry).updated else {}
        same = all(
            name in prints and same_value(self.values[name], prints[name]) for name in entry.secrets
        )
        return same and not self._by_hand(entry, found)

    def _by_hand(self, entry: PrefectObject, found: Found) -> bool:
        """Return whether a block with secrets was changed since the last apply."""
        known = self._written(entry).updated
        return bool(entry.secrets and known) and known != found.updated

    def _written(self, entry: PrefectObject) -> Written:
        return self.record.written.get(entry.key, Written())

    async def _remember(self, entry: PrefectObject) -> None:
        """Read an object back, and keep what Prefect made of it."""
        found = await KINDS[entry.section].find(self.api, entry.name)
        if found is None:
            raise ObjectRefusedError(
                "it was written, and is not there; somebody may have removed it"
            )
        changed = differing(entry, found.fields, Written())
        for place in changed:  # a form of Prefect's own, or a field that it does not keep
            self.notice(f"{shown_field(entry, place)}: the server shows another value")
        prints = {
            name: fingerprint(self.values[name], random.token_bytes(SALT_BYTES))
            for name in entry.secrets
        }
        written = Written(
            form_of(entry, found.fields) if changed else "",
            found.updated if prints else "",
            prints,
        )
        self.record = with_written(self.record, entry.key, written)

    async def _check_secrets(self, entry: PrefectObject, found: Found | None) -> None:
        """Check that Prefect keeps a block's secrets secret, and that no value of one stands in the file."""
        if entry.section != BLOCKS:
            return
        kept = (
            found.secret_fields
            if found
            else await BLOCK_KIND.secret_fields(self.api, str(entry.body["type"]))
        )
        named = dict(secret_places(entry.body["data"]))
        for path in named:
            if not is_kept_secret(path, kept):
                raise ObjectRefusedError(
                    f"data.{'.'.join(path)}: Prefect does not keep this field secret, so everybody who "
                    "can log in would read it; use a block type that does"
                )
        for path, value in leaves(_without_secrets(entry.body["data"])):
            if value is not None and path not in named and is_kept_secret(path, kept):
                raise ObjectRefusedError(
                    f"data.{'.'.join(path)}: Prefect keeps this field secret, and the file has its "
                    "value; write {secret: NAME}, and list NAME in prefect.object_secrets"
                )

    def _filled(self, value: Any) -> Any:
        """Return a body with the values of secrets in it; only the call that sends it gets it."""
        if name := secret_name(value):
            return self.values[name].reveal()
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        return copy.deepcopy(value)

    def _note(self, text: str) -> None:
        self.done += 1
        self.notice(text)


def _without_secrets(value: Any) -> Any:
    """Return data without the places of secrets."""
    if not isinstance(value, dict):
        return value
    return {k: _without_secrets(v) for k, v in value.items() if not secret_name(v)}


def _removal_order(key: str) -> tuple[int, str]:
    """Return where a key comes in the removal: what names others goes first."""
    return (-list(SECTIONS).index(key.partition("/")[0]), key)

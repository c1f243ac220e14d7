"""Compare an object of Prefect's with its entry in the file: the fields that the file sets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roost.environment.prefect_objects import (
    BLOCKS,
    VARIABLES,
    WORK_POOLS,
    PrefectObject,
    secret_name,
)
from roost.plan.document import canonical
from roost.plan.objects_record import Written, digest
from roost.plan.steps import Change

Json = dict[str, Any]

# Fields whose value is the user's own: every part of it counts, also one that the file does not have.
_WHOLE: Mapping[str, frozenset[str]] = {
    VARIABLES: frozenset({"value"}),
    WORK_POOLS: frozenset({"base_job_template"}),
}
_DATA = "data"


def managed(entry: PrefectObject) -> Json:
    """Return the fields that the file sets, without the name; those of a block are its data."""
    if entry.section == BLOCKS:
        return dict(entry.body[_DATA])
    return {field: value for field, value in entry.body.items() if field != "name"}


def shown_field(entry: PrefectObject, field: str) -> str:
    """Return the name of a field as plans show it, such as `work_pools/etl.concurrency_limit`."""
    return f"{entry.key}.{f'{_DATA}.' if entry.section == BLOCKS else ''}{field}"


def differing(entry: PrefectObject, live: Json, written: Written) -> tuple[str, ...]:
    """Return the managed fields that differ on the server; secrets are not compared.

    Args:
        entry: the entry of the file.
        live: the fields as the server returns them; of a block, its data.
        written: what Prefect made of this entry when it was last written.
    """
    found = tuple(_differing(entry, live))
    if found and written.form and written.form == form_of(entry, live):
        return ()
    return found


def form_of(entry: PrefectObject, live: Json) -> str:
    """Return a hash of the managed fields as the server returns them."""
    return digest({field: live.get(field) for field in managed(entry)})


def live_changes(entry: PrefectObject, live: Json, fields: tuple[str, ...]) -> Iterator[Change]:
    """Yield the change of each field from what the server has to what the file says.

    Somebody may have typed a secret into the UI, and a change is printed, kept and sent to issues. So
    only those parts of a live value are shown that the file sets, and a digest of values that are the
    user's own: those of blocks and variables, and job templates.
    """
    wanted = managed(entry)
    whole = _WHOLE.get(entry.section, frozenset())
    for field in fields:
        found = live.get(field)
        is_own = found is not None and (entry.section == BLOCKS or field in whole)
        shown = _digest_of(found) if is_own else _set_parts(found, wanted[field])
        yield Change(shown_field(entry, field), shown, wanted[field])


def _set_parts(live: Any, wanted: Any) -> Any:
    """Return the parts of a live value that the file sets, too."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: _set_parts(live[key], value) for key, value in wanted.items() if key in live}
    if isinstance(wanted, list) and isinstance(live, list):
        if len(live) == len(wanted):
            return [_set_parts(there, here) for there, here in zip(live, wanted, strict=True)]
        if any(isinstance(value, dict | list) for value in live):
            return f"a list of {len(live)}"
        return live
    return _digest_of(live) if isinstance(live, dict | list) else live


def _digest_of(live: Any) -> str:
    return f"another value (sha256 {digest(live)})"


def _differing(entry: PrefectObject, live: Json) -> Iterator[str]:
    whole = _WHOLE.get(entry.section, frozenset())
    for field, value in managed(entry).items():
        if field not in live and value is not None:
            yield field
        elif field in whole:
            if canonical(value) != canonical(live.get(field)):
                yield field
        elif not covers(live.get(field), value):
            yield field


def covers(live: Any, wanted: Any) -> bool:
    """Return whether a live value is what the file says; the server may have added fields to it."""
    if secret_name(wanted):
        return True
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and covers(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and _same_entries(live, wanted)
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    return bool(live == wanted)


def _same_entries(live: list[Any], wanted: list[Any]) -> bool:
    """Compare two lists of one length; Prefect returns sets, such as `expect`, in any order."""
    if any(isinstance(value, dict | list) for value in wanted):
        return all(covers(there, here) for there, here in zip(live, wanted, strict=True))
    return sorted(map(canonical, live)) == sorted(map(canonical, wanted))

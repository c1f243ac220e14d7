"""The config that an update sends: what a step asks for, and what others set beside it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roost.plan.adoption import FOUND
from roost.plan.database_move import served
from roost.plan.desired import OVERRIDE_KEY
from roost.plan.image import is_our_image
from roost.plan.releases import records_in, without_records
from roost.plan.secret_fingerprints import with_marks
from roost.plan.steps import Json

# Maps that a step sets whole, or that are joined by rules of their own.
_WHOLE = frozenset({"env", "init", "metadata"})
# `force_https` is decided by the file, which has port 80 without it; Fly fills in the others itself.
_NOT_KEPT = frozenset({"force_https", "size_gb", "encrypted"})
_IDENTITY = {"services": "internal_port", "ports": "port", "mounts": "path"}
"""By which field an entry of a list is the same as one of another config; others by their place."""


def merged_config(ours: Json, live: Json) -> Json:
    """Return the config to send: what a step asks for, and what others set beside it.

    Fields that no environment file has are kept, at every depth, such as `http_options` of a port, and so
    are flyctl's metadata and our own notes. A plan does not show them, as they may hold a secret. The
    executor adds records and marks. A field that an earlier release sent is not somebody else's, and is
    dropped unless the step asks for it; so is the command of another image once the machine runs Roost's.
    """
    live = served(live)
    metadata = live.get("metadata") or {}
    beside = without_records(metadata)
    beside.pop(OVERRIDE_KEY, None)  # the step says which one, if any
    if runs_other_command(ours, live):
        live = {key: value for key, value in live.items() if key != "init"}
    # What an adopted machine was found with, others set.
    sent = [release.config for release in records_in(metadata) if release.why != FOUND]
    config = {**_with_theirs(ours, live, sent), "metadata": {**beside, **ours["metadata"]}}
    return with_marks(config, {})


def runs_other_command(ours: Json, live: Json) -> bool:
    """Return whether an image of Roost's would run the command of an image before it."""
    starts = any((live.get("init") or {}).values())
    return starts and "init" not in ours and is_our_image(ours["image"])


def _with_theirs(ours: Json, live: Json, sent: Sequence[Json]) -> Json:
    """Return a map of ours with the fields of the live one that no release sent."""
    known = _NOT_KEPT.union(*sent)
    theirs = {key: value for key, value in live.items() if key not in known}
    return {
        **theirs,
        **{
            key: _joined(key, value, live.get(key), [one.get(key) for one in sent])
            for key, value in ours.items()
        },
    }


def _joined(name: str, ours: Any, live: Any, sent: Sequence[Any]) -> Any:
    """Return a value of ours, with what others set in the live one."""
    if name in _WHOLE:
        return ours
    if isinstance(ours, dict) and isinstance(live, dict):
        return _with_theirs(ours, live, [one for one in sent if isinstance(one, dict)])
    if isinstance(ours, list) and isinstance(live, list):
        lists = [one for one in sent if isinstance(one, list)]
        return [
            _joined(
                "", item, _same(name, ours, at, live), [_same(name, ours, at, s) for s in lists]
            )
            for at, item in enumerate(ours)
        ]
    return ours


def _same(name: str, ours: list[Any], at: int, others: list[Any]) -> Any:
    """Return the entry of another list that is the same as one of ours; None if there is none."""
    key, item = _IDENTITY.get(name), ours[at]
    alone = (
        name == "services" and len(ours) == len(others) == 1
    )  # on another port, still the server's
    if key is None or alone or not isinstance(item, dict):
        return others[at] if at < len(others) else None
    return next((o for o in others if isinstance(o, dict) and o.get(key) == item.get(key)), None)

"""Count what a server has of each write of the part `replicated`."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

PAGE = 200
BATCH = 50
"""So many runs are asked for their logs at once: a page holds them, repeated ones too."""
Ask = Callable[[str, str, Any], Any]
"""Sends a verb, a path and a body, and returns the decoded answer."""
Kept = Mapping[tuple[str, str], int]
"""How many rows the server has, by kind and name of the write."""


def count_rows(ask: Ask, label: str) -> Kept:
    """Return how many flows, runs, states and logs the server has of writers with a label."""
    chosen = f"{label}-"
    names = {run["id"]: run["name"] for run in _rows(ask, "flow_runs", chosen, sort="ID_DESC")}
    found = Counter(("run", name) for name in names.values())
    flows = _rows(ask, "flows", chosen, sort="NAME_ASC")
    found.update(("flow", flow["name"]) for flow in flows)
    for run in names:
        states = ask("GET", f"/flow_run_states/?flow_run_id={run}", None)
        found.update(("state", state["message"]) for state in states if state["message"])
    runs = list(names)
    for start in range(0, len(runs), BATCH):
        some = runs[start : start + BATCH]
        wanted = {"logs": {"flow_run_id": {"any_": some}}, "limit": PAGE}
        found.update(("log", log["message"]) for log in ask("POST", "/logs/filter", wanted))
    return found


def _rows(ask: Ask, kind: str, part: str, *, sort: str) -> Iterator[Mapping[str, Any]]:
    """Yield each flow or flow run with a part of a name, page by page."""
    chosen = {kind: {"name": {"like_": part}}, "limit": PAGE, "sort": sort}
    for offset in itertools.count(0, PAGE):
        page = ask("POST", f"/{kind}/filter", {**chosen, "offset": offset})
        yield from page
        if len(page) < PAGE:
            return

"""A client that creates flow runs without a pause, and records which were acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx

from helpers.prefect_site import PrefectSite

PAUSE_S = 0.02
PAGE = 200


class OutsideWriter:
    """Creates flow runs until `end`; refused and lost ones do not count."""

    def __init__(self, site: PrefectSite) -> None:
        self._site = site
        self._flow = site.ask("POST", "/flows/", {"name": "outside"}).json()["id"]
        self._ended = threading.Event()
        self.acknowledged: list[str] = []
        """Ids of the flow runs that were answered with 201, in order."""
        self.refused = 0

    def write(self) -> None:
        """Create flow runs until `end`."""
        with self._site.http() as http:
            for number in count():
                if self._ended.wait(PAUSE_S):
                    return
                self._create(http, number)

    def _create(self, http: httpx.Client, number: int) -> None:
        body: Any = {"flow_id": self._flow, "name": f"run-{number}"}
        try:
            answer = http.post("/flow_runs/", json=body)
        except httpx.HTTPError:
            self.refused += 1
            return
        if answer.status_code == httpx.codes.CREATED:
            self.acknowledged.append(answer.json()["id"])
        else:
            self.refused += 1

    def end(self) -> None:
        """Stop creating flow runs."""
        self._ended.set()

    def lost(self) -> set[str]:
        """Return the acknowledged flow runs that the server does not have."""
        found: set[str] = set()
        for start in range(0, len(self.acknowledged), PAGE):
            ids = self.acknowledged[start : start + PAGE]
            wanted = {"flow_runs": {"id": {"any_": ids}}, "limit": PAGE}
            answer = self._site.ask("POST", "/flow_runs/filter", wanted)
            found |= {run["id"] for run in answer.json()}
        return set(self.acknowledged) - found


@contextmanager
def writing(site: PrefectSite) -> Iterator[OutsideWriter]:
    """Create flow runs inside the block."""
    writer = OutsideWriter(site)
    thread = threading.Thread(target=writer.write, daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer.end()
        thread.join()

"""Somebody outside who goes on using the server: writes rows, and remembers what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from chaos.ground import Ground
from helpers.fake_prefect import LOGIN

PAUSE_S = 0.1
PATIENCE_S = 2.0


class Visitors:
    """Write flow runs, one after the other, from a thread of their own."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._gone = threading.Event()
        self.acknowledged: list[str] = []

    def visit(self) -> None:
        """Write until told to go."""
        while not self._gone.wait(PAUSE_S):
            with suppress(httpx.HTTPError):
                self.write_row()

    def write_row(self) -> None:
        """Write one row, and remember it if the server has said that it has it."""
        url = self._ground.url
        if not url:
            return
        user, _, password = LOGIN.partition(":")
        with httpx.Client(
            base_url=url, auth=(user, password), trust_env=False, timeout=PATIENCE_S
        ) as http:
            answer = http.post("/api/flow_runs/", json={"name": "chaos"})
        if answer.status_code == httpx.codes.CREATED:
            self.acknowledged.append(answer.json()["id"])

    def go(self) -> None:
        """Stop writing."""
        self._gone.set()

    def lost(self) -> tuple[str, ...]:
        """Give the rows that were acknowledged and are not there."""
        kept = set(self._kept())
        return tuple(row for row in self.acknowledged if row not in kept)

    def _kept(self) -> list[str]:
        ends = time.monotonic() + 30
        while True:
            with suppress(httpx.HTTPError):
                answer = httpx.get(f"{self._ground.url}/kept", trust_env=False)
                if answer.is_success:
                    return answer.text.split()
            if time.monotonic() > ends:
                raise TimeoutError("the server does not tell what it kept")
            time.sleep(0.1)


@contextmanager
def visiting(ground: Ground) -> Iterator[Visitors]:
    """Have somebody use the server meanwhile."""
    visitors = Visitors(ground)
    thread = threading.Thread(target=visitors.visit)
    thread.start()
    try:
        yield visitors
    finally:
        visitors.go()
        thread.join()

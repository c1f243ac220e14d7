"""A real server on a volume that is full: nothing that was acknowledged is lost, and it goes on by itself."""

from __future__ import annotations

import sqlite3
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from helpers.prefect_process import PrefectProcess
from helpers.small_volume import fill, small_volume

pytestmark = pytest.mark.slow
LIMIT_S = 90
LARGE = "x" * 60_000


def until(what):
    """Wait until something is so."""
    limit = time.monotonic() + LIMIT_S
    while not (found := what()):
        assert time.monotonic() < limit
        time.sleep(0.2)
    return found


def send_event(http, number):
    event = {
        "id": str(uuid.uuid4()),
        "event": f"trial.{number}",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"trial.{number}"},
    }
    return http.post("/events", json=[event]).status_code


class Writer:
    """Writes large flow runs and events, and remembers each that was acknowledged."""

    def __init__(self, http):
        self.http = http
        self.flow = http.post("/flows/", json={"name": "trial"}).raise_for_status().json()["id"]
        self.runs, self.events, self.refused = [], 0, []

    def write(self):
        """Write one of each; return whether the run was acknowledged."""
        body = {"flow_id": self.flow, "parameters": {"a": LARGE}, "state": {"type": "PENDING"}}
        answer = self.http.post("/flow_runs/", json=body)
        if answer.is_success:
            self.runs.append(answer.json()["id"])
        else:
            self.refused.append(answer)
        self.events += send_event(self.http, len(self.runs)) == 204
        return answer.is_success

    def found_runs(self):
        """Return which of the acknowledged runs are there."""
        return [run for run in self.runs if self.http.get(f"/flow_runs/{run}").is_success]

    def found_events(self):
        """Return how many events are there."""
        wanted = {"filter": {"event": {"prefix": ["trial."]}}, "limit": 1}
        return self.http.post("/events/filter", json=wanted).raise_for_status().json()["total"]


def test_a_full_volume_loses_nothing_and_the_server_goes_on_when_there_is_room(image, tmp_path):
    with (
        small_volume(tmp_path / "home", mb=48) as volume,
        PrefectProcess(image, tmp_path) as server,
    ):
        with server.http() as http:
            writer = Writer(http)
            for _ in range(10):
                assert writer.write()
            limit = {"name": "trial", "limit": 2}
            http.post("/v2/concurrency_limits/", json=limit).raise_for_status()
            filler = fill(volume)
            slot = {"names": ["trial"], "slots": 1}
            taken = http.post("/v2/concurrency_limits/increment-with-lease", json=slot)
            assert taken.status_code == 503
            until(lambda: not writer.write())
            for _ in range(10):  # more than the five tries after which Prefect drops events
                writer.write()
                time.sleep(1)

            assert {answer.status_code for answer in writer.refused} == {503}
            assert "The volume of this server is full" in writer.refused[0].text
            assert http.get("/health").status_code == 200
            assert http.get("/ready").status_code == 507
            assert http.post("/flow_runs/filter", json={"limit": 1}).status_code == 200

            filler.unlink()
            until(lambda: http.get("/ready").status_code == 200)
            assert writer.write()
            assert writer.found_runs() == writer.runs
            assert http.get("/v2/concurrency_limits/trial").json()["active_slots"] == 0
            until(lambda: writer.found_events() == writer.events)

        # A start on a full volume is no crash loop either, nor does a stop wait for room.
        filler = fill(volume)
        server.stop()
        assert server.process.returncode == 0
        server.start()
        filler.unlink()
        with server.http() as http:
            writer.http = http
            assert writer.write()
            assert writer.found_runs() == writer.runs

    log = server.log()
    assert "roost: the volume is full, and a write was refused" in log
    assert "% full" in log
    assert "Traceback" not in log


def test_prefect_s_vacuum_takes_turns_with_requests_and_deletes_what_is_old(image, tmp_path):
    """As `database.retention` asks for it, at the first start after that."""
    old = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d %H:%M:%S.%f}"
    with PrefectProcess(image, tmp_path) as server, server.http() as http:
        flow = http.post("/flows/", json={"name": "trial"}).json()["id"]
        runs = []
        for _ in range(2):
            body = {"flow_id": flow, "state": {"type": "COMPLETED"}}
            run = http.post("/flow_runs/", json=body).raise_for_status().json()["id"]
            line = {"name": "x", "level": 20, "message": "x", "timestamp": old}
            http.post("/logs/", json=[{**line, "flow_run_id": run}]).raise_for_status()
            runs.append(run)
        server.stop()
        with closing(sqlite3.connect(server.home / "prefect.db")) as database, database:
            database.execute("UPDATE flow_run SET end_time = ? WHERE id = ?", (old, runs[0]))

        server.settings |= {
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(2 * 24 * 3600),
        }
        server.start()
        until(lambda: http.get(f"/flow_runs/{runs[0]}").status_code == 404)
        until(lambda: len(http.post("/logs/filter", json={}).json()) == 1)

        assert http.get(f"/flow_runs/{runs[1]}").is_success
    assert "Traceback" not in server.log()

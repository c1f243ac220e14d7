"""What a restart keeps, row by row of the table in docs/reliability.md, with real servers."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from helpers.waiting import until
from roost_server.maintenance_mode import OPEN_PATH, OWNER

EVENTS = 300
TASKS = 60
HELD_S = 3600  # longer than any restart takes
CLOSED_S = 25
FEW_TRIES = {"PREFECT_CLIENT_MAX_RETRIES": "1"}
LOOK_OFTEN = {"PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1"}
STOCK_LEASES = "prefect.server.concurrency.lease_storage.filesystem"
# Sends what its tasks did as events, and ends when the server has taken them all.
FLOW = f"""
from prefect import flow, task

@task
def one(number):
    return number

@flow
def many():
    one.map(range({TASKS})).result()

many()
"""


def restart(server, how):
    """End a server in order, or kill it, and start it again."""
    getattr(server, how)()
    server.start()


def take_slot(http):
    """Make a limit of one, and take its slot; return the lease."""
    limit = {"name": "one", "limit": 1, "active": True}
    http.post("/v2/concurrency_limits/", json=limit).raise_for_status()
    asked = {"names": ["one"], "slots": 1, "mode": "concurrency", "lease_duration": HELD_S}
    return http.post("/v2/concurrency_limits/increment-with-lease", json=asked).json()["lease_id"]


def renew(http, lease):
    """Renew a lease, as the client that holds it does; return the status."""
    path = f"/v2/concurrency_limits/leases/{lease}/renew"
    return http.post(path, json={"lease_duration": HELD_S}).status_code


def slots_taken(http):
    """How many slots of the limit are taken."""
    return http.get("/v2/concurrency_limits/one").json()["active_slots"]


def let_it_run_out(server, lease):
    """Have a lease run out while the server is away, without waiting for it."""
    folder, past = server.home / "concurrency_leases", datetime.now(UTC) - timedelta(minutes=5)
    for file, keys in ((f"{lease}.json", ["expiration"]), ("expirations.json", [lease])):
        content = json.loads((folder / file).read_text("utf-8"))
        content |= dict.fromkeys(keys, past.isoformat())
        (folder / file).write_text(json.dumps(content), "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_slot_that_is_held_stays_held_and_its_lease_can_be_renewed(serve, how):
    server = serve()
    with server.http() as http:
        lease = take_slot(http)
        restart(server, how)

        assert renew(http, lease) == 204
        assert slots_taken(http) == 1


@pytest.mark.slow
def test_a_lease_that_ran_out_while_the_server_was_away_can_still_be_renewed(serve):
    server = serve(**LOOK_OFTEN)
    with server.http() as http:
        lease = take_slot(http)
        server.stop()
        let_it_run_out(server, lease)
        server.start()
        time.sleep(5)  # in which the service has looked some times

        assert renew(http, lease) == 204
        assert slots_taken(http) == 1


@pytest.mark.slow
def test_a_lease_whose_holder_does_not_come_back_gives_its_slot_back(serve):
    server = serve(**LOOK_OFTEN)
    with server.http() as http:
        lease = take_slot(http)
        server.kill()
        let_it_run_out(server, lease)
        server.start()

        assert until(lambda: slots_taken(http) == 0)
        assert renew(http, lease) == 410


@pytest.mark.slow
def test_prefect_s_own_storage_is_left_alone_where_it_is_asked_for(serve):
    """It takes such a lease away at once: what the storage of ours is there for."""
    server = serve(PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=STOCK_LEASES, **LOOK_OFTEN)
    with server.http() as http:
        lease = take_slot(http)
        server.stop()
        let_it_run_out(server, lease)
        server.start()

        assert until(lambda: slots_taken(http) == 0)
        assert renew(http, lease) == 410


@pytest.mark.slow
def test_the_lock_of_a_killed_server_does_not_hold_leases_up(serve):
    """The machine's next server often has the number of the one before, which Prefect asks for."""
    server = serve()
    with server.http() as http:
        lease = take_slot(http)
        server.kill()
        (server.home / "concurrency_leases" / "expirations.lock").write_text("1", "utf-8")
        server.start()

        assert renew(http, lease) == 204


@pytest.mark.slow
def test_events_that_were_accepted_are_there_after_a_stop(serve):
    server = serve()
    with server.http() as http:
        emit(http, EVENTS)
        server.stop()
        server.start()

        assert count_events(http) == EVENTS


def emit(http, count, name="seen"):
    """Send events, as a client without a socket does."""
    now = datetime.now(UTC).isoformat()
    events = [
        {"id": str(uuid4()), "occurred": now, "event": name, "resource": resource(number)}
        for number in range(count)
    ]
    http.post("/events", json=events).raise_for_status()


def resource(number):
    """What an event is about."""
    return {"prefect.resource.id": f"thing.{number}"}


def count_events(http, name="seen"):
    """Count the events of that name that are in the database."""
    asked = {"filter": {"event": {"name": [name]}}, "limit": 1}
    return http.post("/events/filter", json=asked).raise_for_status().json()["total"]


@pytest.mark.slow
def test_task_runs_of_a_flow_that_has_just_ended_are_there_after_a_stop(serve):
    server = serve()
    with server.http() as http:
        server.run(FLOW)
        took = server.stop()
        server.start()

        names = {run["state_name"] for run in task_runs(http)}
        assert (len(task_runs(http)), names) == (TASKS, {"Completed"})
        assert took < 20  # what a machine gets


@pytest.mark.slow
def test_a_flow_that_meets_a_closed_server_waits_for_it_and_keeps_its_task_runs(serve):
    """After an upgrade only the gate is let in. It may take longer than a client tries an error again."""
    server = serve(FLY_MACHINE_ID="new")
    server.stop()
    (server.home / OWNER).write_text("old", "utf-8")
    server.start()
    with server.http() as http, ThreadPoolExecutor() as pool:
        flow = pool.submit(server.run, f"import os; os.environ.update({FEW_TRIES})\n{FLOW}")
        time.sleep(CLOSED_S)
        assert not flow.done()
        gate = {"x-roost-gate": "1"}
        assert http.post(f"{server.url}{OPEN_PATH}", headers=gate).status_code == 204
        flow.result()

        assert until(lambda: states(http) == ["Completed"] * TASKS)


def states(http):
    """Return the state of each task run, by its name."""
    return [run["state_name"] for run in task_runs(http)]


def task_runs(http):
    """Return all task runs."""
    return http.post("/task_runs/filter", json={}).raise_for_status().json()


@pytest.mark.slow
def test_of_events_a_kill_takes_those_of_the_last_seconds_and_no_others(serve):
    """Prefect writes them every 5 s, or when it has 20; those that were written are kept."""
    server = serve()
    with server.http() as http:
        emit(http, 10, name="old")
        assert until(lambda: count_events(http, "old") == 10)
        emit(http, 10, name="new")
        restart(server, "kill")

        assert count_events(http, "old") == 10


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_proactive_trigger_that_was_counting_fires_after_the_restart(serve, how):
    server = serve()
    with server.http() as http:
        http.post("/automations/", json=WATCHDOG).raise_for_status()
        # A server takes a new automation to heart a moment after it has answered.
        assert until(lambda: emit(http, 1, name="begun") or is_counting(server))
        restart(server, how)

        assert until(lambda: count_events(http, "prefect.automation.triggered"))


def is_counting(server):
    """Return whether a trigger has begun to count, which is in the database at once."""
    with closing(sqlite3.connect(server.home / "prefect.db")) as connection:
        return connection.execute("SELECT count(*) FROM automation_bucket").fetchone()[0]


WATCHDOG = {
    "name": "watchdog",
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": "thing.*"},
        "for_each": ["prefect.resource.id"],
        "after": ["begun"],
        "expect": ["ended"],
        "threshold": 1,
        "within": 20,
    },
    "actions": [{"type": "do-nothing"}],
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_runs_that_are_due_turn_late_after_the_restart(serve, how):
    """Services find their work in the database; what they had planned in memory is planned anew."""
    server = serve(PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS="1")
    with server.http() as http:
        flow = http.post("/flows/", json={"name": "x"}).json()["id"]
        due = {"scheduled_time": datetime.now(UTC).isoformat()}
        state = {"type": "SCHEDULED", "state_details": due}
        run = http.post("/flow_runs/", json={"flow_id": flow, "state": state}).json()["id"]
        restart(server, how)

        assert until(lambda: http.get(f"/flow_runs/{run}").json()["state_name"] == "Late")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_background_task_that_no_worker_had_taken_stays_scheduled(serve, how):
    """`task.delay()`: the run is kept and the queue that would bring it to a worker is not."""
    server = serve()
    with server.http() as http:
        run = delay(http)
        restart(server, how)

        assert http.get(f"/task_runs/{run}").json()["state_name"] == "Scheduled"


def delay(http):
    """Hand a background task in, as `task.delay()` does; return its run."""
    run = {
        "task_key": "one-abc",
        "dynamic_key": "1",
        "state": {"type": "SCHEDULED", "state_details": {"deferred": True}},
    }
    return http.post("/task_runs/", json=run).raise_for_status().json()["id"]

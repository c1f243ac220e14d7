"""Prefect's services and requests take turns at SQLite, so that it is never locked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.prefect_process import PrefectProcess
from helpers.prefect_versions import NEWEST, OLDER
from helpers.waiting import LIMIT_S
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"
TRIALS = Path(__file__).parents[1] / "helpers" / "queue_trials.py"
LOCKED = "database is locked"
MARK_AFTER_S = 1
QUEUED = ("reads_first", "single_statement", "cancelled", "failing", "other_process")
LATE = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": str(MARK_AFTER_S),
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
}


@pytest.fixture(scope="module", params=[NEWEST, pytest.param(OLDER, marks=pytest.mark.slow)])
def any_image(request, image_cache):
    """The image of the newest Prefect, and of the older one."""
    version = request.param
    ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
    return asyncio.run(Images(image_cache).build(DEPLOY, version, ref)).image


def play(image, folder, *arguments):
    """Play trials of helpers/queue_trials.py in an image; return what came of each, by its name."""
    done = subprocess.run(
        [image.bin / "python", TRIALS, *arguments],
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "PREFECT_HOME": str(folder),
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "PYTHONPATH": str(image.folder),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.fixture(scope="module")
def played(any_image, tmp_path_factory):
    """What came of each trial with the queue, played by one process."""
    return play(any_image, tmp_path_factory.mktemp("trials"), *QUEUED)


def test_transactions_that_read_first_and_write_later_are_never_refused(played):
    """SQLite refuses them at once when another wrote in between; no count is lost either."""
    assert played["reads_first"] == {"failed": 0, "n": 96}


@pytest.mark.slow
def test_without_the_queue_they_are_refused(any_image, tmp_path):
    """Else the trial proves nothing."""
    assert play(any_image, tmp_path, "reads_first", "--without")["reads_first"]["failed"]


def test_a_statement_without_a_transaction_waits_for_its_turn_too(played):
    assert played["single_statement"] == {"before": 0, "after": 7, "taken": False}


def test_who_is_cancelled_leaves_no_turn_and_no_lock_behind(played):
    assert played["cancelled"] == {"taken": False}


def test_a_statement_that_fails_gives_its_turn_back(played):
    assert played["failing"] == {"refused": 2, "taken": False}


def test_another_process_that_writes_is_waited_for(played):
    """As Litestream, which copies the database and writes a little of its own into it."""
    assert played["other_process"] == {"failed": 0, "beside": True}


@pytest.mark.slow
def test_nothing_is_locked_while_runs_turn_late_and_clients_write(any_image, tmp_path):
    with PrefectProcess(any_image, tmp_path, **LATE) as server:
        marked = runs_turn_late_while_clients_write(server)

    assert LOCKED not in server.log()
    assert marked == {"Late"}


def runs_turn_late_while_clients_write(server, late=60, writers=4):
    """Let runs turn late while clients write flow runs; return the names of the states they got."""
    over = threading.Event()
    with server.http() as http:
        flow = http.post("/flows/", json={"name": "x"}).json()["id"]
        due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - MARK_AFTER_S))
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        with ThreadPoolExecutor(writers) as pool:
            writing = [pool.submit(write_runs, server, flow, over) for _ in range(writers)]
            body = {"flow_id": flow, "state": state, "tags": ["due"]}
            runs = [http.post("/flow_runs/", json=body).json()["id"] for _ in range(late)]
            limit = time.monotonic() + LIMIT_S
            while (names := names_of(http, runs)) != {"Late"} and time.monotonic() < limit:
                time.sleep(0.5)
            over.set()
            for writer in writing:
                assert writer.result() > 0
    return names


def names_of(http, runs):
    """Return the names of the runs' states."""
    found = http.post("/flow_runs/filter", json={"flow_runs": {"id": {"any_": runs}}})
    return {run["state_name"] for run in found.raise_for_status().json()}


def write_runs(server, flow, over):
    """Write flow runs until it is over; each request is answered well. Give their number."""
    count = 0
    with server.http() as http:
        while not over.is_set():
            made = http.post("/flow_runs/", json={"flow_id": flow, "state": {"type": "PENDING"}})
            path = f"/flow_runs/{made.raise_for_status().json()['id']}/set_state"
            http.post(path, json={"state": {"type": "RUNNING"}}).raise_for_status()
            http.post(path, json={"state": {"type": "COMPLETED"}}).raise_for_status()
            count += 1
    return count

"""A replicated server with real Prefect, PostgreSQL and Redis: no gap in a change, and none of its parts missed."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from contextlib import contextmanager

import httpx
import pytest

from helpers.postgres import find_programs, postgres_server
from helpers.prefect_process import PrefectProcess
from helpers.prefect_site import NAME
from helpers.prefect_versions import NEWEST
from helpers.redis_server import find_program, redis_server
from helpers.replicated_site import APPLY_S, FIELDS, LOCK, SERVER_MACHINES, ReplicatedSite, schedule
from helpers.waiting import until
from localfly.images.builder import Images
from roost.environment.prefect_settings import OWN_DEPLOY

PROGRAMS, REDIS = find_programs(), find_program()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(REDIS is None, reason="no Redis here: apt-get install redis-server"),
]
CLIENTS = 4


@pytest.fixture
def redis():
    """A Redis of the test's own."""
    assert REDIS is not None
    with redis_server(REDIS) as server:
        yield server


@pytest.fixture
def secrets(redis):
    """The secrets of a replicated server, by their names."""
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        yield {"DATABASE_URL": database.url, "REDIS_URL": redis.url}


@pytest.fixture
def site(tmp_path, image_cache, secrets):
    """A replicated environment on a local Fly of its own, not applied yet."""
    found = ReplicatedSite(tmp_path, image_cache, **secrets)
    try:
        yield found.start(**FIELDS)
    finally:
        found.daemon.clean()


class Load:
    """Clients that write and read all the time, each in a thread of its own, and note every answer."""

    def __init__(self, site):
        self._site, self._ends = site, threading.Event()
        self.written, self.failed, self.count = [], [], 0

    @contextmanager
    def running(self):
        """Send requests inside the block."""
        threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            for thread in threads:
                thread.join()

    def _send(self, client):
        with self._site.http() as http:
            for number in itertools.count():
                if self._ends.is_set():
                    return
                name = f"load-{client}-{number}"
                self._note(name, lambda name=name: http.post("/flows/", json={"name": name}))
                self._note("", lambda: http.post("/flows/filter", json={"limit": 1}))

    def _note(self, name, send):
        self.count += 1
        try:
            answer = send()
        except httpx.HTTPError as failure:
            self.failed.append(type(failure).__name__)
            return
        if not answer.is_success:
            self.failed.append((answer.status_code, answer.text[:100]))
        elif name:
            self.written.append(name)


def test_a_change_has_no_gap_and_a_killed_machine_loses_nothing(site):
    applied = site.roost.run("apply", NAME, "--local", limit_s=APPLY_S)
    again = site.roost.json("plan", NAME, "--local")
    changed_settings = {"PREFECT_SERVER_API_DEFAULT_LIMIT": "150"}
    site.write(**{**FIELDS, "prefect": {**FIELDS["prefect"], "settings": changed_settings}})
    with Load(site).running() as load:
        changed = site.roost.run("apply", NAME, "--local", limit_s=APPLY_S)
    state = {name: machine["state"] for name, machine in site.machines().items()}
    before = len(load.written)
    with Load(site).running() as during:
        until(lambda: len(during.written) > 20)
        site.kill("app-1")
        site.kill("services-1")
        until(lambda: len(during.written) > 100)
    count = schedule(site.ask, "after")
    until(count)

    assert again["steps"] == []
    assert "ok   leases shared" in applied.stderr
    assert "ok   events shared" in applied.stderr
    assert "ok   runs once" in applied.stderr
    assert changed.stderr.count("prove the machine") == 3
    assert state == dict.fromkeys(SERVER_MACHINES, "started")
    assert load.failed == []
    assert before > CLIENTS
    # Of requests to a machine that is killed, only those in its process fail; none that it
    # acknowledged is lost.
    assert len(during.failed) <= CLIENTS, during.failed
    assert site.kept(load.written) == set(load.written)
    assert site.kept(during.written) == set(during.written)


@pytest.fixture
def processes(tmp_path, image_cache, secrets):
    """The machines of a replicated server, as processes without any Fly: services, and two for the API."""
    context = tmp_path / "context"
    shutil.copytree(OWN_DEPLOY, context)
    (context / "locks" / f"prefect-{NEWEST}.txt").write_text(LOCK)
    image = asyncio.run(Images(image_cache).build(context, NEWEST, "replicated:test")).image
    named = {"ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL", "ROOST_REDIS_URL_VARIABLE": "REDIS_URL"}
    parts = {"services": "services", "one": "api", "two": "api"}
    found = {
        name: PrefectProcess(image, tmp_path / name, ROOST_PROCESS=part, **named, **secrets)
        for name, part in parts.items()
    }
    try:
        for process in found.values():
            process.start()
        yield found
    finally:
        for process in found.values():
            process.kill()


def status(process, path="/health"):
    """Return the status of a path of a machine's API."""
    with process.http() as http:
        return http.get(path).status_code


def test_a_redis_that_goes_is_told_and_one_that_comes_back_empty_is_used_again(processes, redis):
    one, two = processes["one"], processes["two"]

    def ask(verb, path, body, process=two):
        with process.http() as http:
            return http.request(verb, path, json=body)

    until(schedule(ask, "before"))
    redis.stop()
    health = [status(process) for process in processes.values()]
    write = ask("POST", "/flows/", {"name": "away"}, one)
    read = ask("POST", "/flows/filter", {}, one)
    redis.start()
    until(lambda: {status(process) for process in processes.values()} == {200})
    again = ask("POST", "/flows/", {"name": "back"}, one)
    until(schedule(ask, "after"))

    assert health == [503, 503, 503]
    assert (write.status_code, write.headers["prefect-maintenance"]) == (503, "true")
    assert read.status_code == 200
    assert again.status_code == 201
    assert all(process.process.poll() is None for process in processes.values())
    logs = "".join(process.log() for process in processes.values())
    assert redis.password not in logs


def test_services_that_start_again_wait_for_no_round_of_an_earlier_start(processes):
    services, one = processes["services"], processes["one"]
    loops = ("", "RECENT_DEPLOYMENTS_")
    slow = {f"PREFECT_SERVER_SERVICES_SCHEDULER_{loop}LOOP_SECONDS": "100000" for loop in loops}

    def ask(verb, path, body):
        with one.http() as http:
            return http.request(verb, path, json=body)

    services.stop()
    services.settings |= slow
    services.start()
    services.stop()
    for name in slow:
        del services.settings[name]
    services.start()

    until(schedule(ask, "soon"))

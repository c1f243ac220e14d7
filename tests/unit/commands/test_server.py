"""smoke, status, sleep and wake: what they do to a server that is there, or is not."""

from __future__ import annotations

import json
import re
from unittest.mock import AsyncMock

import httpx
import pytest

from helpers.fake_prefect import LOGIN, first, say
from roost.environment.model import AUTH_SECRET
from roost.operations.generated_secrets import GeneratedSecrets
from roost.operations.local_fly import LocalFly

URL = "https://acme-prefect.fly.dev"


@pytest.fixture
def applied(roost, fly):
    """The environment, applied; gives its one machine."""
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    [machine] = fly.machines.values()
    return machine


# Smoke


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:4200", "http://127.0.0.1:4200/api", "staging"]
)
def test_smoke_tells_every_check_of_a_good_server(roost, target):
    said = roost("smoke", target)

    assert (said.code, said.err) == (0, "")
    assert "ok   health" in said.out
    assert "ok   scheduler" in said.out
    assert "FAIL" not in said.out
    assert "ok   events" in said.out
    assert "Use 3.6.21 or later." in said.out


def test_smoke_as_json_is_one_object(roost):
    said = roost("smoke", "staging", "--json")

    document = json.loads(said.out)
    assert (document["url"], document["ok"]) == (URL, True)
    assert {"health", "version", "scheduler"} <= {check["name"] for check in document["checks"]}


def test_smoke_of_a_bad_server_names_what_failed_and_still_gives_json(roost, prefect):
    prefect.version = "3.7.0"

    said = roost("smoke", "staging", "--json")

    assert json.loads(said.out)["ok"] is False
    failed = [check["name"] for check in json.loads(said.out)["checks"] if not check["ok"]]
    assert failed == ["version"]
    assert said.code == 1
    assert said.err == (
        f"roost: error [smoke-failed]: {URL}: version failed. Each failed check says what to do.\n"
    )


def test_smoke_of_an_address_asks_for_a_version_only_where_one_is_named(roost, prefect):
    prefect.version = "3.7.0"

    assert roost("smoke", URL).code == 0
    assert roost("smoke", URL, "--version", "3.8.8").code == 1


def test_smoke_of_an_address_logs_in_only_with_a_value(roost, prefect, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)
    prefect.auth = False

    said = roost("smoke", URL)

    assert said.code == 0
    assert "auth closed" not in said.out
    assert "Use 3.6.21 or later." not in said.out  # without a login every client's events come in


@pytest.fixture
def made_up(roost, fly, clients, monkeypatch, tmp_path):  # noqa: ARG001 - they stand behind it
    """The local Fly with the environment, whose login was made up."""
    monkeypatch.delenv(AUTH_SECRET)
    here = LocalFly("http://127.0.0.1:1")
    clients.use(find_local_fly=AsyncMock(return_value=here))
    monkeypatch.setattr(LocalFly, "app_url", AsyncMock(return_value="http://127.0.0.1:2"))
    GeneratedSecrets(tmp_path / "localfly").values("acme-prefect", [AUTH_SECRET])


@pytest.mark.usefixtures("made_up")
def test_smoke_does_not_speak_of_a_value_that_nobody_set(roost, monkeypatch):
    said = roost("smoke", "staging", "--local")
    monkeypatch.setenv(AUTH_SECRET, "admin:wrong")
    given = roost("smoke", "staging", "--local")

    assert "The login that was generated here is not the server's" in said.out
    assert f"The value of {AUTH_SECRET} here" not in said.out
    assert f"The value of {AUTH_SECRET} here is not the server's. Correct it." in given.out


@pytest.mark.usefixtures("made_up")
def test_secrets_say_of_a_made_up_value_that_it_is(roost, monkeypatch, tmp_path):
    value = GeneratedSecrets(tmp_path / "localfly").known("acme-prefect", [AUTH_SECRET])[
        AUTH_SECRET
    ]

    said = roost("secrets", "staging", "--local")
    monkeypatch.setenv(AUTH_SECRET, "admin:given")
    given = roost("secrets", "staging", "--local")

    assert "made up here" in said.out
    assert value.reveal() not in said.out + said.err
    assert f"${AUTH_SECRET}" in given.out
    assert "made up here" not in given.out


def test_smoke_of_a_stock_server_leaves_out_what_only_ours_does(roost, prefect):
    prefect.docs = True

    assert roost("smoke", URL).code == 1
    assert roost("smoke", URL, "--stock").code == 0


# Status


@pytest.mark.usefixtures("applied")
def test_status_shows_machine_volume_and_address(roost, fly):
    said = roost("status", "staging")

    assert (said.code, said.err) == (0, "")
    assert f"staging: {URL}" in said.out
    for word in ("app-1", "started", "iad", "3.8.8", next(iter(fly.volumes))):
        assert word in said.out
    assert fly.changes == []


def test_status_as_json_is_one_object(roost, applied):
    document = json.loads(roost("status", "staging", "--json").out)

    assert document["exists"]
    assert document["url"] == URL
    assert document["secrets"] == [AUTH_SECRET]
    [machine] = document["machines"]
    assert (machine["id"], machine["state"]) == (applied["id"], "started")
    assert machine["image"] == applied["config"]["image"]
    assert machine["volume"] == applied["config"]["mounts"][0]["volume"]
    assert LOGIN not in str(document)


def test_status_of_what_is_not_there_says_how_to_make_it(roost):
    said = roost("status", "staging")
    document = json.loads(roost("status", "staging", "--json").out)

    assert said.code == 0
    assert "does not exist yet. Create it: ./run roost apply staging" in said.out
    assert (document["exists"], document["url"], document["machines"]) == (False, "", [])


def test_what_to_type_next_is_for_the_local_fly_where_that_was_asked_for(
    roost, clients, monkeypatch
):
    """Also in what a failure says; never in JSON, nor in a workflow, whose page anybody reads."""
    here = AsyncMock(return_value=LocalFly("http://127.0.0.1:1"))
    clients.use(find_local_fly=here)

    told = roost("status", "staging", "--local").out
    failed = roost("wake", "staging", "--local").err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    job = roost("wake", "staging", "--local")

    assert told.endswith("Create it: ./run roost apply staging --local\n")
    assert failed.endswith("Create it: ./run roost apply staging --local\n")
    assert "Create it: roost apply staging\n" in job.err
    assert "Create it: roost apply staging\n" in job.out


@pytest.mark.usefixtures("applied")
def test_status_names_the_addresses_and_what_costs_money_unused(roost, fly):
    fly.volumes["vol_old"] = {**next(iter(fly.volumes.values())), "id": "vol_old"}
    fly.volumes["vol_old"] |= {"name": "data", "attached_machine_id": None}

    said = roost("status", "staging").out

    assert re.search(r"Addresses: \S+ \(v6\), \S+ \(shared_v4\)\.", said)
    assert re.search(r"Volume vol_\S+: 1 GB in iad, used by app-1\.", said)
    assert "Volume vol_old: 1 GB in iad, used by no machine." in said
    assert "volumes that nothing uses and that cost money: vol_old (data)" in said


def test_status_where_no_machine_is_says_so_and_what_brings_it_back(roost, fly, applied):
    del fly.machines[applied["id"]]
    volumes = dict(fly.volumes)

    with_volume = roost("status", "staging").out
    fly.volumes.clear()
    without = " ".join(roost("status", "staging").out.split())

    assert volumes
    assert "It has no machine. Make one: ./run roost apply staging" in with_volume
    assert "To bring back its data: `./run roost restore staging --snapshot ID`" in without
    assert "machine id" not in without


REPLICATED = {
    "database": {"backend": "sqlite", "replicate": "s3://acme-backups/prefect"},
    "secrets": [AUTH_SECRET, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
}


def test_status_says_where_the_database_is_copied_to(roost, rewrite, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    rewrite(REPLICATED)
    assert roost("apply", "staging").code == 0

    said = roost("status", "staging")
    document = json.loads(roost("status", "staging", "--json").out)

    assert "The database is copied to s3://acme-backups/prefect as it changes." in said.out
    assert "asks for copies" not in said.out
    assert document["replica"] == {
        "live": "s3://acme-backups/prefect",
        "wanted": "s3://acme-backups/prefect",
    }


@pytest.mark.usefixtures("applied")
def test_status_says_that_copies_were_asked_for_and_are_not_made_yet(roost, rewrite):
    rewrite(REPLICATED)

    said = roost("status", "staging")

    assert "The file asks for copies of the database in s3://acme-backups/prefect" in said.out
    assert "nothing is copied there yet: ./run roost apply staging." in said.out


def test_what_a_destroy_cut_short_left_is_told_and_brought_back_by_an_apply(roost, fly, applied):
    applied |= {"cordoned": True, "state": "stopped"}

    status = roost("status", "staging")
    planned = roost("plan", "staging")
    scaled = roost(*["scale", "staging", "--memory-mb", "1024", "--until", "1h", "--reason", "try"])
    done = roost("apply", "staging")

    assert "stopped, cordoned" in status.out
    for said in (status.out, planned.out):
        told = " ".join(said.split())
        assert f"The machine app-1 ({applied['id']}) is cordoned" in told
        assert "To serve again: ./run roost apply staging." in told
    assert "machine/app-1/cordon" in scaled.err
    assert done.code == 0, done.err
    assert "uncordon the machine app-1, so that requests reach it" in done.err
    [machine] = fly.machines.values()
    assert not machine["cordoned"]
    assert json.loads(roost("plan", "staging", "--json").out)["steps"] == []


# Sleep and wake


@pytest.mark.parametrize(("autostop", "state"), [("suspend", "suspended"), ("stop", "stopped")])
def test_sleep_does_what_the_file_says_and_waits_for_it(roost, fly, rewrite, autostop, state):
    rewrite(scaling={"autostop": autostop})
    roost("apply", "staging")
    [machine] = fly.machines.values()

    said = roost("sleep", "staging")

    assert said.code == 0
    assert machine["state"] == state
    assert said.out.startswith(f"{machine['id']} {state} in ")


HOLD = ("POST", "/roost/hold")


def test_before_it_is_suspended_a_server_puts_what_it_was_given_onto_its_disk(
    roost, prefect, applied
):
    states = []

    def hold():
        states.append(applied["state"])
        return httpx.Response(200, content=b"held\n")

    prefect.broken = {HOLD: hold}

    said = roost("sleep", "staging")

    assert (said.code, said.err) == (0, "")
    assert states == ["started"]
    assert applied["state"] == "suspended"


def test_where_it_cannot_the_server_is_suspended_and_what_that_means_is_told(
    roost, prefect, applied
):
    prefect.broken = {HOLD: say(401)}

    said = roost("sleep", "staging")

    assert said.code == 0
    assert applied["state"] == "suspended"
    assert "(it answered 401)" in said.err
    assert "Before you change it, wake it: ./run roost wake staging" in said.err


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"scaling": {"autostop": "stop"}}, "started"),
        ({"prefect": {"version": "3.8.8", "image": "docker.io/acme/prefect:1"}}, "started"),
        ({}, "suspended"),
        ({}, "stopped"),
    ],
    ids=["it is stopped, in order", "not our image", "it sleeps already", "it is down already"],
)
def test_who_has_nothing_in_memory_that_could_go_is_not_asked(
    roost, fly, prefect, rewrite, fields, state
):
    rewrite(**fields)
    roost("apply", "staging")
    [machine] = fly.machines.values()
    machine["state"] = state
    prefect.asked.clear()

    assert roost("sleep", "staging").code == 0
    assert HOLD not in prefect.asked


@pytest.mark.parametrize("state", ["stopped", "suspended"])
def test_who_sleeps_already_is_left_asleep(roost, fly, applied, state):
    applied["state"] = state

    said = roost("sleep", "staging")

    assert (said.code, said.err) == (0, "")
    assert said.out == f"{applied['id']} sleeps already: {state}.\n"
    assert (applied["state"], fly.changes) == (state, [])


def test_sleep_and_wake_as_json_are_one_object(roost, applied):
    laid = json.loads(roost("sleep", "staging", "--json").out)
    again = json.loads(roost("sleep", "staging", "--json").out)
    woken = json.loads(roost("wake", "staging", "--json").out)

    [machine] = laid["machines"]
    assert (laid["environment"], laid["app"]) == ("staging", "acme-prefect")
    assert (machine["id"], machine["state"]) == (applied["id"], "suspended")
    assert again["machines"] == [{"id": applied["id"], "state": "suspended", "seconds": 0.0}]
    assert (woken["environment"], woken["app"], woken["url"]) == ("staging", "acme-prefect", URL)
    assert woken["seconds"] >= 0


@pytest.mark.parametrize("verb", ["sleep", "wake"])
def test_sleep_and_wake_need_a_machine(roost, verb):
    said = roost(verb, "staging")

    assert (said.code, said.out) == (3, "")
    assert "staging has no machine yet. Create it: ./run roost apply staging" in said.err


def test_sleep_and_wake_leave_machines_of_others_alone(roost, fly, applied):
    applied["config"]["metadata"] = {}

    assert roost("sleep", "staging").code == 3
    assert fly.changes == []


@pytest.mark.usefixtures("applied")
def test_wake_is_a_request_and_waits_until_it_is_answered(roost, prefect):
    prefect.broken = {("GET", "/api/health"): first(httpx.ConnectError("refused"))}

    said = roost("wake", "staging")

    assert said.code == 0
    assert said.out.startswith("staging answers after ")
    assert said.out.endswith(f" s: {URL}\n")


@pytest.mark.usefixtures("applied")
def test_wake_gives_up_on_a_server_that_never_answers(roost, prefect, monkeypatch):
    monkeypatch.setattr("roost.operations.sleep_wake.PROBE_TIMEOUT_S", 0)
    prefect.broken = {("GET", "/api/health"): say(503)}

    said = roost("wake", "staging")

    assert said.code == 1
    assert f"error [smoke-failed]: {URL} does not answer (503)." in said.err

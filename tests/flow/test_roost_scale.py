"""Scaling for a time, and drift, on a local Fly: what is set, shown, kept, ended, and by whom."""

from __future__ import annotations

import json
import threading
import time

import pytest

from helpers.api_door import counting
from helpers.roost_command import finish
from helpers.small_server import NAME
from helpers.waiting import LIMIT_S
from roost.plan.desired import OVERRIDE_KEY

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
AWAKE = ("scale", NAME, "--local", "--min-machines-running", "1")
DEMO = (*AWAKE, "--until", "4h", "--reason", "demo")
DRIFT = ("drift", NAME, "--local")


@pytest.fixture
def applied(site):
    """An environment that is applied."""
    site.roost.run(*APPLY)
    return site


def config_of(site):
    [machine] = site.list("machines")
    return machine["config"]


def minimum(site):
    return config_of(site)["services"][0].get("min_machines_running", 0)


def test_an_override_lives_from_scale_to_clear_and_through_an_apply_between(applied):
    said = applied.roost.run(*DEMO, GITHUB_ACTOR="ada")
    assert "by ada (demo): min_machines_running 1 instead of 0." in said.stdout
    assert minimum(applied) == 1

    applied.write(PREFECT_LOGGING_LEVEL="DEBUG")
    assert "by ada (demo)" in applied.roost.run(*APPLY).stderr
    assert config_of(applied)["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert minimum(applied) == 1
    assert "by ada (demo)" in applied.roost.run("status", NAME, "--local").stdout
    assert "by ada (demo)" in applied.roost.run(*DRIFT).stdout

    applied.roost.run("scale", NAME, "--local", "--clear")
    assert minimum(applied) == 0
    assert OVERRIDE_KEY not in config_of(applied)["metadata"]
    assert applied.roost.run(*DRIFT).stdout == f"{NAME}: clean.\n"


def test_an_override_ends_by_itself_at_the_next_look_after_its_time(applied):
    applied.roost.run(*AWAKE, "--until", "1s", "--reason", "demo")
    ends = json.loads(config_of(applied)["metadata"][OVERRIDE_KEY])["until"]
    while f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}" < ends:
        time.sleep(0.1)

    plan = applied.roost.json("plan", NAME, "--local")
    drift = applied.roost.run(*DRIFT, expect=2)
    applied.roost.run(*DRIFT, "--heal")

    assert "(demo) ended at " in plan["warnings"][0]
    assert [step["kind"] for step in plan["steps"]] == ["update-machine"]
    assert "override ended" in drift.stdout
    assert minimum(applied) == 0
    assert applied.roost.run(*DRIFT).stdout == f"{NAME}: clean.\n"


def test_a_longer_override_does_not_boot_the_machine(applied):
    applied.roost.run(*DEMO)
    [before] = applied.list("machines")

    applied.roost.run(*AWAKE, "--until", "9h", "--reason", "a longer demo")

    [after] = applied.list("machines")
    assert after["instance_id"] == before["instance_id"]
    assert "a longer demo" in after["config"]["metadata"][OVERRIDE_KEY]


def test_of_two_who_scale_at_once_one_wins_and_the_other_is_told_who(applied):
    held, go_on = threading.Event(), threading.Event()

    def hold(call):
        [machine] = applied.list("machines")
        if call == f"POST /v1{applied.app}/machines/{machine['id']}" and not held.is_set():
            held.set()
            assert go_on.wait(LIMIT_S)

    with counting(str(applied.daemon.client.base_url)) as door:
        door.asked = hold
        applied.lead_to(door.url)
        first = applied.roost.begin_patiently(*DEMO, GITHUB_ACTOR="ada")
        assert held.wait(LIMIT_S)
        more = (
            "scale",
            NAME,
            "--local",
            "--memory-mb",
            "1024",
            "--until",
            "1h",
            "--reason",
            "flows",
        )
        second = applied.roost.begin(*more, GITHUB_ACTOR="grace")
        waiting = next(line for line in iter(second.stderr.readline, "") if "waiting" in line)
        go_on.set()
        won, lost = finish(first), finish(second)

    assert "is being changed by roost scale by ada (demo)" in waiting
    assert won.returncode == 0, won.stderr
    assert (lost.returncode, "error [changed-meanwhile]: " in lost.stderr) == (1, True)
    assert config_of(applied)["guest"]["memory_mb"] == 512
    assert minimum(applied) == 1


def test_an_override_written_after_the_plan_of_an_apply_is_not_lost(applied):
    """A longer override makes no new version of the machine, and yet it is seen."""
    applied.roost.run(*DEMO)
    applied.write(PREFECT_LOGGING_LEVEL="DEBUG")
    planned, go_on = threading.Event(), threading.Event()

    def hold(call):
        if call.endswith("/lease") and not planned.is_set():
            planned.set()
            assert go_on.wait(LIMIT_S)

    with counting(str(applied.daemon.client.base_url)) as door:
        door.asked = hold
        applied.lead_to(door.url)
        apply = applied.roost.begin_patiently(*APPLY)
        assert planned.wait(LIMIT_S)
        applied.write()
        applied.lead_to(str(applied.daemon.client.base_url))
        applied.roost.run(*AWAKE, "--until", "9h", "--reason", "a longer demo")
        go_on.set()
        done = finish(apply)

    assert (done.returncode, "error [changed-meanwhile]: " in done.stderr) == (1, True)
    assert "a longer demo" in config_of(applied)["metadata"][OVERRIDE_KEY]


def test_a_change_by_hand_is_found_named_and_healed(applied):
    [machine] = applied.list("machines")
    config = machine["config"]
    config["guest"]["memory_mb"] = 1024
    applied.daemon.call("POST", f"{applied.app}/machines/{machine['id']}", {"config": config})
    applied.daemon.wait(applied.app, machine["id"], "started")

    found = json.loads(applied.roost.run(*DRIFT, "--json", expect=2).stdout)
    applied.roost.run(*DRIFT, "--heal")

    [difference] = found["differences"]
    assert (difference["field"], difference["live"], difference["wanted"]) == (
        "guest.memory_mb",
        1024,
        512,
    )
    assert difference["cause"] == "changed by hand"
    assert config_of(applied)["guest"]["memory_mb"] == 512
    assert applied.roost.run(*DRIFT).stdout == f"{NAME}: clean.\n"


def test_all_environments_are_looked_at_and_an_app_without_a_file_is_orphaned(own_site):
    own_site.roost.run(*APPLY)
    path = own_site.roost.environments / f"{NAME}.yaml"
    text = path.read_text()
    (own_site.roost.environments / "other.yaml").write_text(text.replace("own-site", "other-site"))

    both = json.loads(own_site.roost.run("drift", "--all", "--local", "--json", expect=2).stdout)
    path.unlink()
    orphaned = own_site.roost.run("drift", "--all", "--local", expect=2)

    assert [e["state"] for e in both["environments"]] == ["clean", "drift"]
    assert both["orphans"] == []
    assert f"own-site: orphaned. It was made for {NAME}, and its file is gone." in orphaned.stdout
    assert "1 environment: 1 drift, 1 orphaned." in orphaned.stdout
    assert len(own_site.list("machines")) == 1

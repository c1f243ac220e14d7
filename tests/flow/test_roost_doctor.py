"""Faults made real on a local Fly: doctor names the cause, its diff is applied, and then all is well."""

from __future__ import annotations

import httpx
import pytest

from helpers.doctor_runs import take, wrong
from helpers.plain_http import NO_TLS
from helpers.small_server import (
    CLOCK_S,
    EATS_MB,
    EXITS,
    LISTENS_AT,
    NAME,
    SAYS,
    SMALL,
    TROUBLE,
)
from helpers.waiting import LIMIT_S, until
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
DOCTOR = ("doctor", NAME, "--local")


def test_a_server_that_refuses_a_setting_starts_after_the_diff_and_is_not_woken(site):
    words = "a Prefect setting is wrong (small_trouble: must be empty); fix prefect.settings"
    site.write(**{TROUBLE: EXITS, SAYS: words})
    site.roost.run(*APPLY, expect=5)

    [check] = wrong(site, NAME)

    assert "Prefect refuses a setting" in check["what"]
    assert any("exited with code 1" in line for line in check["evidence"])
    assert any(words in line for line in check["evidence"])
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)

    site.roost.run("sleep", NAME, "--local")
    said = site.roost.run(*DOCTOR)
    assert "it sleeps, and --wake was not given" in said.stdout
    assert site.list("machines")[0]["state"] == "suspended"
    said = site.roost.run(*DOCTOR, "--wake")
    assert "the server and its database answer" in said.stdout


def test_a_volume_that_is_nearly_full_has_room_after_the_diff(site):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, secrets=[AUTH_SECRET])
    site.roost.run(*APPLY)
    [volume] = site.list("volumes")
    with (site.daemon.home / "volumes" / volume["id"] / "large").open("wb") as file:
        file.truncate(95 * 1024**3 // 100)

    [check] = wrong(site, NAME)

    assert "% full" in check["what"]
    assert "give the volume 2 GB: $0.30 a month, now $0.15" in check["mend"]
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)


def test_a_server_that_was_killed_for_memory_has_enough_after_the_diff(site):
    site.write({"machine": {"memory_mb": 256}}, **{EATS_MB: "300"})
    site.roost.run(*APPLY, expect=5)

    [check] = wrong(site, NAME)

    assert "its memory was full, and the machine was killed" in check["what"]
    assert any("oom_killed" in line for line in check["evidence"])
    assert "give it 512 MB (shared-cpu-1x): $" in check["mend"]
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)


def test_a_server_that_listens_elsewhere_is_named_by_what_the_proxy_meets(site):
    site.write(**{LISTENS_AT: "4199"})
    site.roost.run(*APPLY, expect=5)

    [check] = wrong(site, NAME)

    assert "it does not listen on the port that Fly asks" in check["what"]
    assert "have the image's command listen on 0.0.0.0, port 4200" in check["mend"]
    site.write()
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)


def test_a_clock_that_is_off_is_measured(site):
    site.write(**{CLOCK_S: "-90"})
    site.roost.run(*APPLY)

    [check] = wrong(site, NAME)

    assert "s behind this computer's" in check["what"]
    assert "have the wrong one follow NTP" in check["mend"]
    site.write()
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)


def test_an_app_that_no_request_reaches_is_named_and_corrected_by_what_is_printed(site):
    site.roost.run(*APPLY)
    for ip in site.daemon.call("GET", f"{site.app}/ip_assignments")["ips"]:
        site.daemon.call("DELETE", f"{site.app}/ip_assignments/{ip['ip']}", expect=204)
    machine = f"{site.app}/machines/{site.machine['id']}"
    site.daemon.call("POST", f"{machine}/cordon")

    lost, closed = wrong(site, NAME)

    assert "has no address, so no request reaches it" in lost["what"]
    assert closed["commands"] == [f"fly machine uncordon {site.machine['id']} -a {site.name}"]
    assert "because it is cordoned" in closed["what"]
    site.daemon.call("POST", f"{machine}/uncordon")  # what the command of Fly's client does
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)


def test_a_server_that_ends_again_and_again_is_a_loop_until_it_is_changed(own_site):
    own_site.roost.run(*APPLY)
    machine = f"{own_site.app}/machines/{own_site.machine['id']}"
    for number in range(1, 4):
        for process in own_site.daemon.machine_processes():
            process.kill()
        until(lambda number=number: _starts(own_site, machine) > number)
        own_site.daemon.wait(own_site.app, own_site.machine["id"], "started")

    [check] = wrong(own_site, NAME)

    assert "it serves now, and has ended by itself 3 times within the last day" in check["what"]
    assert [line for line in check["evidence"] if "ended by signal 9" in line]
    own_site.roost.run("logs", NAME, "--local")
    own_site.write(PREFECT_LOGGING_LEVEL="INFO")
    own_site.roost.run(*APPLY)
    own_site.roost.run(*DOCTOR)


def _starts(site, machine):
    """Return how often a machine was started since it was made."""
    events = site.daemon.call("GET", f"{machine}/events", params={"limit": 50})
    return sum(event["type"] == "start" for event in events)


def test_a_server_that_is_woken_again_and_again_stays_awake_after_the_diff(site):
    site.roost.run(*APPLY)
    machine = site.machine["id"]
    port = site.daemon.client.get("/localfly/status").json()["apps"][site.name]["port"]
    for _ in range(4):
        site.daemon.call("POST", f"{site.app}/machines/{machine}/suspend")
        site.daemon.wait(site.app, machine, "suspended")
        woken = httpx.get(
            f"http://127.0.0.1:{port}/api/health", trust_env=False, timeout=LIMIT_S, verify=NO_TLS
        )
        assert woken.is_success

    [check] = wrong(site, NAME)

    assert "it falls asleep and is woken again 4 times within an hour" in check["what"]
    assert "scaling.idle_after: 10m" in check["mend"]
    assert "its machine has no note of who woke it" in check["evidence"]
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)

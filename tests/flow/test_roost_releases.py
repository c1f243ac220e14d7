"""What was released, going back by hand, and allowing what failed: over a local Fly, as people do it."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from helpers.api_door import counting
from helpers.roost_command import finish
from helpers.small_server import ILL, NAME, SMALL, TROUBLE, VERSION
from helpers.waiting import LIMIT_S

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
ROLLBACK = ("rollback", NAME, "--local")
RELEASES = ("releases", NAME, "--local")
LEVEL = "PREFECT_LOGGING_LEVEL"


@pytest.fixture
def door(site):
    """What stands between Roost and the API."""
    with counting(str(site.daemon.client.base_url)) as found:
        site.lead_to(found.url)
        yield found


def apply_each(site, *levels):
    """Apply the file once with each of these log levels."""
    for level in levels:
        site.write(**{LEVEL: level})
        site.roost.run(*APPLY)


def releases(site):
    """Number, verdict and what it put back, the newest first."""
    found = site.roost.json(*RELEASES)["releases"]
    assert [release["live"] for release in found] == [True] + [False] * (len(found) - 1)
    return [(r["number"], r["verdict"], r["back_to"]) for r in found]


def level(site):
    """The log level of what runs."""
    [machine] = site.list("machines")
    return machine["config"]["env"][LEVEL]


def test_going_back_twice_goes_further_back_and_by_number_anywhere(site):
    apply_each(site, "DEBUG", "INFO", "ERROR")
    seen = []

    for words in ((), (), ("--to", "3")):
        site.roost.run(*ROLLBACK, *words)
        seen.append(level(site))

    assert seen == ["INFO", "DEBUG", "ERROR"]
    assert releases(site)[:4] == [
        *((6, "good", 3), (5, "good", 1), (4, "good", 2), (3, "good", None)),
    ]
    assert site.steps_left() == ()  # the file asks for just that


def test_after_going_back_the_plan_warns_and_an_apply_goes_forward(site):
    apply_each(site, "DEBUG", "INFO")
    site.roost.run(*ROLLBACK)

    plan = site.roost.json("plan", NAME, "--local")
    site.roost.run(*APPLY)

    [warning] = plan["warnings"]
    assert warning.startswith(
        "Somebody rolled back to release 1, as release 3; the file asks for rel"
    )
    assert warning.endswith("To stay, merge a revert of the file first.")
    assert (level(site), releases(site)[0]) == ("INFO", (4, "good", None))


def test_what_failed_is_refused_by_name_until_it_is_cleared(site):
    apply_each(site, "DEBUG")
    site.write(**{LEVEL: "INFO", TROUBLE: ILL})
    site.roost.run(*APPLY, expect=4)

    refused = site.roost.run(*APPLY, expect=3)
    assert f"`./run roost releases {NAME} --local --clear 2`" in refused.stderr

    site.roost.run(*RELEASES, "--clear", "2")
    assert releases(site) == [(3, "good", 1), (2, "cleared", None), (1, "good", None)]

    site.roost.run(*APPLY, expect=4)
    apply_each(site, "INFO")
    assert releases(site)[:3] == [(6, "good", None), (5, "good", 1), (4, "failed", None)]


def test_of_two_that_go_back_at_once_one_wins_and_the_other_changes_nothing(site, door):
    apply_each(site, "DEBUG", "INFO", "ERROR")
    held, go_on = threading.Event(), threading.Event()

    def hold(call):
        """Keep the first one from going on once it has seen what is live."""
        if call.endswith(f"{site.app}/machines") and not held.is_set():
            held.set()
            assert go_on.wait(LIMIT_S)

    door.answered = hold
    overtaken = site.roost.begin_patiently(*ROLLBACK, "--to", "1")
    assert held.wait(LIMIT_S)
    site.roost.run(*ROLLBACK, "--to", "2")
    go_on.set()
    done = finish(overtaken)

    assert done.returncode == 1
    assert "error [changed-meanwhile]: " in done.stderr
    assert (level(site), releases(site)[0]) == ("INFO", (4, "good", 2))


def test_an_apply_waits_for_one_that_goes_back_and_then_sees_that_it_was_overtaken(site, door):
    apply_each(site, "DEBUG", "INFO")
    proving, go_on = threading.Event(), threading.Event()

    def hold(call):
        """Keep the rollback in its gate."""
        if "POST" in call and call.endswith(f"/machines/{machine['id']}"):
            proving.set()
            assert go_on.wait(LIMIT_S)

    [machine] = site.list("machines")
    door.answered = hold
    back = site.roost.begin_patiently(*ROLLBACK)
    assert proving.wait(LIMIT_S)
    site.write(**{LEVEL: "ERROR"})
    waiting = site.roost.begin(*APPLY)
    said = next(line for line in iter(waiting.stderr.readline, "") if "being changed by" in line)
    go_on.set()

    assert "being changed by roost rollback" in said
    assert "waiting for up to 60 s" in said
    assert finish(back).returncode == 0
    assert finish(waiting).returncode == 0
    assert releases(site)[:2] == [(4, "good", None), (3, "good", 1)]
    assert level(site) == "ERROR"


def test_going_back_that_is_killed_is_finished_by_going_back_again(site, door):
    apply_each(site, "DEBUG", "INFO")
    [machine] = site.list("machines")

    def kill(call):
        if "POST" in call and call.endswith(f"/machines/{machine['id']}"):
            process.send_signal(signal.SIGKILL)
            process.wait()

    process = site.roost.begin(*ROLLBACK)
    door.answered = kill
    finish(process)
    door.answered = lambda _: None
    assert releases(site)[0] == (3, "pending", 1)
    lease = site.daemon.client.get(f"/v1{site.app}/machines/{machine['id']}/lease").json()["data"]
    release = {"fly-machine-lease-nonce": lease["nonce"]}
    site.daemon.call("DELETE", f"{site.app}/machines/{machine['id']}/lease", headers=release)

    site.roost.run(*ROLLBACK)

    assert releases(site)[0] == (3, "good", 1)
    assert level(site) == "DEBUG"


def test_the_way_out_of_a_refused_downgrade_leads_out_of_it(site):
    def write(version):
        settings = {VERSION: version}
        prefect = {"version": version, "image": SMALL, "settings": settings}
        site.roost.write(NAME, app=site.name, prefect=prefect)

    for version in ("3.8.8", "3.9.1"):
        write(version)
        site.roost.run(*APPLY)
    back = site.roost.run(*ROLLBACK, expect=3)
    write("3.8.8")
    refused = site.roost.run(*APPLY, expect=3)
    [named] = set(re.findall(r"`\./run roost (restore [^`]+)`", back.stderr + refused.stderr))

    site.roost.run(*named.split())

    [machine] = site.list("machines")
    assert machine["config"]["env"][VERSION] == "3.8.8"
    assert site.steps_left() == ()
    assert releases(site)[0] == (3, "good", None)

"""tick wakes who has a run due and nobody else; status and sleep say what is due and who is connected."""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from functools import partial
from unittest.mock import AsyncMock

import anyio
import httpx
import pytest
import yaml

from helpers.due_runs import next_due
from helpers.environments import PRIVATE, environment_data
from helpers.fake_fly import FakeFly
from helpers.fake_prefect import first, say
from helpers.fly_trouble import (
    KilledError,
    TroubledFly,
    is_followed_by_a_kill,
    is_forestalled_by_a_kill,
    loses_the_answer,
    never_answers,
)
from helpers.waiting import LIMIT_S
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.next_due import NEXT_DUE_KEY

HEALTH = ("GET", "/api/health")
REPORT = ("GET", "/roost/report")
RUN = "load/all on the flow server nightly"


@pytest.fixture
def applied(roost, fly, prefect):
    """The environment, applied and asleep; gives its one machine."""
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    prefect.asked.clear()
    [machine] = fly.machines.values()
    machine["state"] = "suspended"
    return machine


@pytest.fixture
def leave(applied):
    """Have the machine hold what a server leaves for a run so far from now, or any text."""

    def write(text="", **far):
        applied["config"]["metadata"][NEXT_DUE_KEY] = text or json.dumps(next_due(**far))

    return write


def test_a_server_with_a_run_due_is_woken_and_nothing_is_changed_on_fly(
    roost, fly, prefect, leave, monkeypatch
):
    """Without the login, too: the request that wakes a server needs none."""
    monkeypatch.delenv(AUTH_SECRET)
    leave(minutes=-3)

    said = roost("tick", "staging")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("staging: woken in ")
    assert re.search(r"3 min( \d+ s)? after a run was due at ", said.out)
    assert f"({RUN})." in said.out
    assert HEALTH in prefect.asked
    assert fly.changes == []


@pytest.mark.parametrize("far", [{"minutes": 3}, {"days": 3}])
def test_a_server_with_a_later_run_is_not_woken(roost, fly, prefect, leave, far):
    leave(**far)

    said = roost("tick", "staging")

    assert said.code == 0
    assert "staging: asleep, the next run is due " in said.out
    assert (prefect.asked, fly.changes) == ([], [])


@pytest.mark.parametrize("text", ["", "garbage", '{"at": 7}'])
def test_a_server_with_nothing_due_is_not_woken(roost, prefect, applied, text):
    applied["config"]["metadata"][NEXT_DUE_KEY] = text

    said = roost("tick", "--all")

    assert said.code == 0
    assert said.out.endswith("staging: asleep, nothing is due.\n")
    assert ("cannot be read" in said.out) == bool(text)
    assert prefect.asked == []


def test_a_server_that_is_awake_is_left_alone(roost, prefect, applied, leave):
    leave(minutes=-3)
    applied["state"] = "started"

    assert roost("tick", "staging").out == "staging: awake already.\n"
    assert prefect.asked == []


def test_an_environment_that_was_never_deployed_is_no_failure(roost):
    said = roost("tick", "--all")

    assert (said.code, said.out) == (
        0,
        "staging: it has no machine that serves; nothing to wake.\n",
    )


def test_as_json_it_is_one_object(roost, leave):
    leave(minutes=-3)

    [found] = json.loads(roost("tick", "--all", "--json").out)["environments"]

    assert (found["environment"], found["app"]) == ("staging", "acme-prefect")
    assert (found["decision"], found["error"], found["notes"]) == ("due", None, [])
    assert (found["due"]["flow_server"], found["due"]["deployment"]) == ("nightly", "load/all")
    assert 179 <= found["late_s"] <= 300
    assert found["woken_s"] >= 0


@pytest.fixture
def others(tmp_path):
    """Beside `staging`, one that is not deployed, and one with a fault in its file."""
    for name, fields in (("demo", {"app": "acme-demo"}), ("broken", {"regoin": "iad"})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(environment_data(fields)))


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("which", [("--all",), ("staging", "demo", "broken", "absent")])
def test_one_that_fails_stops_no_other_and_each_is_named_at_the_end(
    roost, prefect, leave, monkeypatch, which
):
    monkeypatch.setattr("roost.operations.sleep_wake.PROBE_TIMEOUT_S", 0)
    prefect.broken = {HEALTH: httpx.ConnectError("refused")}
    leave(minutes=-3)

    said = roost("tick", *which)
    found = json.loads(roost("tick", *which, "--json").out)["environments"]

    assert said.code == 1
    assert "demo: it has no machine that serves" in said.out
    assert "staging: not woken, 3 min" in said.out
    assert "staging: error [smoke-failed]: " in said.out
    assert "broken: error [" in said.out
    failed = [name for name in ("absent", "broken", "staging") if name != "absent" or name in which]
    counted = f"{len(failed)} of {len(failed) + 1} environments failed: {', '.join(failed)}."
    assert f"{counted} The next tick tries again." in said.out
    assert [one["environment"] for one in found if one["error"]] == failed


@pytest.mark.parametrize("status", [403, 500])
def test_fly_that_answers_badly_is_the_failure_of_its_environment(roost, clients, status):
    answer = httpx.MockTransport(lambda _: httpx.Response(status, json={"error": "no"}))
    clients.use(fly=partial(FlyClient, transport=answer))

    said = roost("tick", "staging")

    assert said.code == 1
    assert "staging: error [fly" in said.out
    assert "1 of 1 environment failed: staging." in said.out


def test_two_servers_are_woken_at_the_same_time(
    roost, fly, clients, tmp_path, leave, applied, monkeypatch
):
    """One that takes its whole limit must not make the others late."""
    leave(minutes=-3)
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(environment_data(app="acme-demo")))
    twin = copy.deepcopy(applied) | {"id": "twin"}
    twin["config"]["metadata"][ENVIRONMENT_KEY] = "demo"
    other = FakeFly("acme-demo", fly.organization, machines={"twin": twin})

    def either(request):
        return other(request) if "/apps/acme-demo" in request.url.path else fly(request)

    clients.use(fly=partial(FlyClient, transport=httpx.MockTransport(either)))
    waking, both = [], anyio.Event()

    async def answers_when_both_are_asked(_, url):
        waking.append(url)
        if len(waking) == 2:
            both.set()
        with anyio.fail_after(LIMIT_S):
            await both.wait()
        return 1.0

    monkeypatch.setattr("roost.commands.tick.time_wake", answers_when_both_are_asked)

    said = roost("tick", "staging", "demo")

    assert said.code == 0
    assert said.out.count("woken in 1.00 s") == 2


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    "trouble",
    [loses_the_answer, never_answers, is_followed_by_a_kill, is_forestalled_by_a_kill],
    ids=lambda trouble: trouble.__name__,
)
def test_wherever_a_tick_is_cut_short_the_next_one_does_it(
    roost, fly, clients, prefect, leave, trouble, nth
):
    leave(minutes=-3)
    troubled = TroubledFly(fly, trouble, nth)
    through = httpx.MockTransport(troubled.answer)
    clients.use(fly=partial(FlyClient, transport=through))
    with suppress(KilledError):
        roost("tick", "staging")
    assert troubled.happened

    clients.use(fly=partial(FlyClient, transport=httpx.MockTransport(fly)))
    said = roost("tick", "staging")

    assert said.out.startswith("staging: woken in ")
    assert HEALTH in prefect.asked
    assert fly.changes == []


def test_a_server_that_did_not_wake_is_tried_again_by_the_next_tick(
    roost, prefect, leave, monkeypatch
):
    monkeypatch.setattr("roost.operations.sleep_wake.PROBE_TIMEOUT_S", 0)
    prefect.broken = {HEALTH: first(say(502))}
    leave(minutes=-3)

    assert roost("tick", "staging").code == 1
    assert roost("tick", "staging").code == 0


def test_a_private_server_that_cannot_be_reached_is_said_to_be_due_with_the_next_step(
    roost, rewrite, prefect, leave, monkeypatch
):
    rewrite(PRIVATE)
    monkeypatch.setattr("roost.operations.server_address.resolves", AsyncMock(return_value=False))
    leave(minutes=-3)

    said = roost("tick", "staging")

    assert said.code == 1
    assert "staging: not woken, 3 min" in said.out
    assert "staging: error [private-network]: " in said.out
    assert "docs/github.md, A private server" in said.out
    assert prefect.asked == []


def test_a_private_server_with_nothing_due_needs_no_way_to_it(roost, rewrite, applied, monkeypatch):
    rewrite(PRIVATE)
    monkeypatch.setattr("roost.operations.server_address.resolves", AsyncMock(return_value=False))
    assert applied["state"] == "suspended"

    assert roost("tick", "--all").code == 0


@pytest.mark.parametrize("arguments", [(), ("staging", "--all")])
def test_it_is_told_which_environments(roost, arguments):
    said = roost("tick", *arguments)

    assert said.code == 3
    assert "Name environments, or give --all." in said.err


def test_where_there_is_no_environment_nothing_is_due(roost, tmp_path):
    (tmp_path / "staging.yaml").unlink()

    said = roost("tick", "--all")

    assert (said.code, "nothing is due" in said.out) == (0, True)


# Status


def test_status_of_a_sleeping_server_says_what_is_due_next_and_wakes_nobody(roost, prefect, leave):
    leave(hours=3)

    said = roost("status", "staging")
    found = json.loads(roost("status", "staging", "--json").out)

    assert "Next run: " in said.out
    assert RUN in said.out
    assert "`./run roost tick staging` wakes it" in said.out
    assert found["next_due"]["flow_server"] == "nightly"
    assert (found["flow_servers"], found["clients"]) == (None, None)
    assert prefect.asked == []


def test_status_of_a_sleeping_server_names_a_run_that_is_late(roost, leave):
    leave(minutes=-12)

    assert "To start it now: ./run roost wake staging." in roost("status", "staging").out


WORK = {
    "clients": {"sockets": 1, "polls_last_minute": 6},
    "flow_servers": [
        {"name": "nightly", "due": None, "overdue": 2, "running": [], "wake_error": "timed out"}
    ],
    "next_due": next_due(minutes=5),
}


@pytest.fixture
def awake(applied, prefect):
    """The server, awake; a test says what it reports."""
    applied["state"] = "started"
    return prefect


def test_status_of_an_awake_server_says_who_runs_what_and_who_keeps_it_awake(roost, awake, leave):
    leave(days=-9)  # from before it woke
    awake.report = {"database": "sqlite on the volume", **WORK}

    said = roost("status", "staging")
    found = json.loads(roost("status", "staging", "--json").out)

    assert said.code == 0
    assert said.out.count("Next run: ") == 1
    assert "2 runs of nightly should have started. It could not be woken: timed out." in said.out
    assert "1 open socket, and 6 polls for work in the last minute. They keep" in said.out
    assert found["clients"] == WORK["clients"]
    assert found["next_due"]["deployment"] == "load/all"
    assert found["flow_servers"][0]["wake_error"] == "timed out"


@pytest.mark.parametrize("report", [None, {"database": "sqlite on the volume"}, [], "x"])
def test_status_says_nothing_of_what_an_older_image_does_not_report(roost, awake, report):
    awake.report = report

    said = roost("status", "staging")

    assert said.code == 0
    assert "Next run" not in said.out
    assert "connected" not in said.out


def test_status_without_the_login_says_nothing_of_it(roost, awake, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)
    awake.broken = {REPORT: say(401)}

    assert "Next run" not in roost("status", "staging").out


# Sleep


def test_sleep_says_who_will_wake_the_server_again_and_does_what_was_asked(roost, awake, applied):
    awake.report = {"database": "sqlite on the volume", **WORK}

    said = roost("sleep", "staging")

    assert said.code == 0
    assert applied["state"] == "suspended"
    assert "1 open socket, and 6 polls for work in the last minute." in said.out
    assert "Their next request wakes the server again at once." in said.out


def test_sleep_as_json_has_the_clients(roost, awake, applied):
    awake.report = {"database": "sqlite on the volume", **WORK}

    first = json.loads(roost("sleep", "staging", "--json").out)
    again = json.loads(roost("sleep", "staging", "--json").out)

    assert (first["clients"], again["clients"]) == (WORK["clients"], None)
    assert applied["state"] == "suspended"


def test_sleep_of_a_server_that_nobody_is_connected_to_speaks_of_nobody(roost, awake):
    awake.report = {"database": "postgres", "clients": {"sockets": 0, "polls_last_minute": 0}}

    assert "connected" not in roost("sleep", "staging").out

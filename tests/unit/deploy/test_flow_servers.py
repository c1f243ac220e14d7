"""Records of flow servers: who is fenced, what is learned, and which input is refused."""

from __future__ import annotations

import json

import pytest

from helpers.asgi_calls import http
from helpers.flow_books import served
from roost_server.flow_servers import (
    DRAIN_S,
    KEPT_BOOTS,
    BadOnlineError,
    Caller,
    Missed,
    Online,
    first_online,
    from_json,
    read_caller,
    read_online,
)

BODY = {
    "boot": "b1",
    "version": "01V",
    "address": "http://acme-nightly.flycast",
    "prefect": "3.9.1",
    "missed": "skip",
}


def online(boot="b1", **more):
    return read_online({**BODY, "boot": boot, **more})


def record(boot="b1"):
    return first_online("nightly", online(boot), "2026-11-30T08:00:00+00:00")


@pytest.mark.parametrize(
    ("value", "caller"),
    [
        ("nightly/b1", Caller("nightly", "b1")),
        ("a-1/B_-9", Caller("a-1", "B_-9")),
        *[(bad, None) for bad in ("nightly", "nightly/", "/b1", "Nightly/b1", "a/b/c", "-a/b")],
        ("n" * 64 + "/b1", None),
        ("nightly/" + "b" * 65, None),
        ("nightly/b1\n", None),
    ],
)
def test_only_a_whole_header_names_a_flow_server(value, caller):
    assert read_caller(http(x_roost_flow_server=value)) == caller


def test_a_request_without_the_header_is_of_nobody():
    assert read_caller(http()) is None


def test_what_a_launcher_sends_is_read():
    assert online() == Online("b1", "01V", BODY["address"], "3.9.1", Missed.SKIP)
    assert online(missed=None).missed is Missed.RUN_LATEST


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"boot": ""}, "boot"),
        ({"boot": 1}, "boot"),
        ({"boot": "a/b"}, "boot"),
        ({"version": None}, "version"),
        ({"address": "ftp://x"}, "address"),
        ({"address": "http://x/path"}, "address"),
        ({"address": "http://user@x"}, "address"),
        ({"prefect": "3" * 201}, "prefect"),
        ({"missed": "sometimes"}, "missed must be one of run_latest, run_all, skip"),
        ({"missed": ["skip"]}, "missed"),
    ],
)
def test_a_bad_field_is_named(change, field):
    with pytest.raises(BadOnlineError, match=field):
        read_online({**BODY, **change})


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(BadOnlineError, match="object"):
        read_online(body)


def test_a_newer_boot_fences_the_older_one_and_whoever_executes_runs():
    known = record("b1").claim("run-1", "b0").claim("run-2", "b1")

    taken = known.come_online(online("b2"), "later")

    assert set(taken.fenced) == {"b0", "b1"}
    assert set(taken.dead_runs()) == {"run-1", "run-2"}
    assert (taken.boot, taken.online_at) == ("b2", "later")


def test_the_same_boot_may_come_online_again_after_a_lost_reply():
    known = record("b2").fence(["b1"]).claim("run", "b2")

    assert known.come_online(online("b2"), "later") == known


def test_old_boots_are_forgotten_after_many_starts():
    known = record("b0")
    last = KEPT_BOOTS + 20
    for number in range(1, last + 1):
        known = known.come_online(online(f"b{number}"), "later")

    assert known.fenced == tuple(f"b{number}" for number in range(last - KEPT_BOOTS, last))


def test_a_boot_whose_run_is_not_settled_is_refused_however_many_started_since():
    known = record("b0").claim("run", "b0")
    for number in range(1, KEPT_BOOTS + 20):
        known = known.come_online(online(f"b{number}"), "later")

    assert known.fenced[0] == "b0"
    assert known.dead_runs() == ["run"]


def test_polls_of_one_boot_add_up_and_the_next_boot_starts_anew():
    known = (
        record()
        .learn("b1", served(["d2"]))
        .learn("b1", served(["d1"]))
        .learn("b1", served([], ["pool"]))
    )

    assert (known.deployments, known.pools) == (("d1", "d2"), ("pool",))
    assert known.learn("b1", served(["d1"])) is known
    assert known.served == served(["d1", "d2"], ["pool"])
    assert known.learn("b2", served(["d3"])).deployments == ("d3",)
    assert known.learn("b2", served(["d3"])).pools == ()


def test_draining_ends_by_itself_at_online_and_after_a_clock_that_jumped():
    drained = from_json(record().to_json() | {"draining_until": 1000.0 + DRAIN_S})

    assert drained.is_draining(1000.0)
    assert not drained.is_draining(1000.0 + DRAIN_S)
    assert not drained.is_draining(0.0)
    assert not drained.come_online(online("b1"), "later").is_draining(1000.0)


def test_each_version_runs_its_canary_once():
    known = record().ran_canary("v1").ran_canary("v2").ran_canary("v1")

    assert known.canaries == ("v2", "v1")


def test_a_record_survives_the_database_and_a_newer_roost():
    known = (
        record().learn("b1", served(["d"], ["p"])).claim("run", "b1").fence(["b0"]).ran_canary("v")
    )

    assert from_json(json.loads(json.dumps(known.to_json()))) == known
    assert from_json({**known.to_json(), "of_the_future": 1}) == known


@pytest.mark.parametrize("document", [{}, {"name": "nightly"}, {"missed": "never"}])
def test_what_is_no_record_is_refused(document):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(document)


@pytest.mark.parametrize(
    ("polled", "run", "takes"),
    [
        pytest.param(served(["d"]), ("d", "pool", "default"), True, id="its deployment"),
        pytest.param(served(["d"]), ("other", "pool", "default"), False, id="another deployment"),
        pytest.param(served(pools=["pool"]), ("d", "pool", "urgent"), True, id="a whole pool"),
        pytest.param(served(pool=["urgent"]), ("d", "pool", "urgent"), True, id="its queue"),
        pytest.param(served(pool=["urgent"]), ("d", "pool", "default"), False, id="another queue"),
        pytest.param(
            served(pool=["urgent"]) | served(pools=["pool"]),
            *(("d", "pool", "default"), True),
            id="one worker for a queue and one for all",
        ),
        pytest.param(
            served(pool=["a"]) | served(pool=["b"], other=["c"]),
            *(("d", "pool", "b"), True),
            id="two workers, two queues",
        ),
        pytest.param(served(pool=["a"]), (None, None, None), False, id="no deployment, no pool"),
    ],
)
def test_a_run_is_for_who_polls_its_deployment_or_queue(polled, run, takes):
    assert polled.takes(*run) is takes


def test_polled_queues_are_kept_and_those_of_a_new_boot_replace_them():
    known = record().learn("b1", served(pool=["b", "a"]))

    assert from_json(json.loads(json.dumps(known.to_json()))) == known
    assert known.served.takes("d", "pool", "a")
    assert not known.learn("b2", served(pool=["c"])).served.takes("d", "pool", "a")


def test_a_record_of_an_older_roost_has_no_queues_and_nothing_untaken():
    older = record().learn("b1", served(pools=["p"])).to_json()
    del older["queues"], older["untaken"]

    assert from_json(older).served == served(pools=["p"])

"""Machine configs without a daemon: durations, named faults, and Fly's echo."""

from __future__ import annotations

import copy
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfly.api_errors import ApiError
from localfly.config.durations import seconds
from localfly.config.fields import FIELDS, INTEGER, STRING, Named, faults
from localfly.config.machine_config import check_config, echo, may_suspend, signal_number


def config(**changes):
    service = {"protocol": "tcp", "internal_port": 80}
    return {"image": "thing:1", "services": [service], **changes}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 7),
        ("", 7),
        ("15s", 15),
        ("1m30s", 90),
        ("1h", 3600),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("1us", 1e-6),
        ("0", 0),
        (2_000_000_000, 2),
    ],
)
def test_durations_are_gos_or_nanoseconds(value, expected):
    assert seconds(value, 7) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value", ["15", "s", "-1s", "1 s", "1s2", "soon", "1e3s", "\u0661s", True, -1, 10**30, [1]]
)
def test_what_is_no_duration_is_refused_by_name(value):
    with pytest.raises(ApiError) as caught:
        seconds(value, 7)
    assert caught.value.status == 400


@given(st.integers(0, 10**9))
def test_a_duration_in_milliseconds_reads_back(milliseconds):
    assert seconds(f"{milliseconds}ms", -1) == pytest.approx(milliseconds / 1000)


def test_every_fault_of_a_config_is_found_in_one_go():
    wrong = config(env={"A": 1}, guest={"cpus": "two"}, imagee="x", services=[{"prots": []}, None])

    found = {fault.path for fault in faults(wrong, FIELDS, "config")}

    assert found == {
        "config.env.A",
        "config.guest.cpus",
        "config.imagee",
        "config.services[0].prots",
        "config.services[1]",
    }


def test_a_null_is_as_good_as_an_absent_field():
    assert list(faults(config(guest=None, env=None, services=None), FIELDS, "config")) == []


def test_a_boolean_is_no_number():
    assert [fault.path for fault in faults({"a": True}, Named(INTEGER), "x")] == ["x.a"]
    assert list(faults({"a": "t"}, Named(STRING), "x")) == []


@pytest.mark.parametrize(
    ("given", "guest"),
    [
        ({}, {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}),
        ({"guest": {"cpus": 4}}, {"cpu_kind": "shared", "cpus": 4, "memory_mb": 1024}),
        (
            {"guest": {"cpu_kind": "performance"}},
            {"cpu_kind": "performance", "cpus": 1, "memory_mb": 2048},
        ),
        ({"size": "shared-cpu-2x"}, {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}),
        ({"size": "performance-4x"}, {"cpu_kind": "performance", "cpus": 4, "memory_mb": 8192}),
    ],
    ids=["nothing", "cpus", "kind", "shared preset", "performance preset"],
)
def test_a_size_is_filled_in(given, guest):
    check_config(config(**given))

    echoed = echo(config(**given), None)

    assert echoed["guest"] == guest
    assert "size" not in echoed


@pytest.mark.parametrize(
    ("kind", "memory_mb", "step"), [("performance", 2304, 1024), ("shared", 300, 256)]
)
def test_memory_is_sold_in_steps(kind, memory_mb, step):
    guest = {"cpu_kind": kind, "cpus": 1, "memory_mb": memory_mb}

    with pytest.raises(ApiError, match=f"must be a multiple of {step} from"):
        check_config(config(guest=guest))


@pytest.mark.parametrize(
    ("asked", "given_back"),
    [
        ("off", False),
        ("stop", True),
        ("suspend", "suspend"),
        (True, True),
        (False, False),
        (None, False),
    ],
)
def test_autostop_comes_back_as_fly_spells_it(asked, given_back):
    service = {"protocol": "tcp", "internal_port": 80, "autostop": asked}

    (echoed,) = echo(config(services=[service]), None)["services"]

    assert echoed["autostop"] is given_back or echoed["autostop"] == given_back
    assert echoed["force_instance_key"] is None


CONFIGS = st.fixed_dictionaries(
    {"image": st.just("thing:1")},
    optional={
        "env": st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
        "guest": st.fixed_dictionaries({"cpus": st.sampled_from([1, 2, 4])}),
        "restart": st.fixed_dictionaries({"policy": st.sampled_from(["no", "always"])}),
        "services": st.lists(
            st.fixed_dictionaries(
                {"protocol": st.just("tcp"), "internal_port": st.integers(1, 65535)},
                optional={"autostop": st.sampled_from(["off", "stop", "suspend", True, False])},
            ),
            max_size=2,
        ),
        "mounts": st.just([{"volume": "vol_1", "path": "/data"}]),
    },
)


@given(CONFIGS, st.none() | st.integers(1, 500))
def test_what_is_given_back_is_taken_again_and_comes_back_the_same(asked, size_gb):
    before = copy.deepcopy(asked)
    check_config(asked)

    once = echo(asked, size_gb)
    check_config(once)

    assert echo(once, size_gb) == once
    assert asked == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"guest": {"memory_mb": 2048}}, True),
        ({"guest": {"cpus": 2, "memory_mb": 2304}}, False),
        ({"init": {"swap_size_mb": 512}}, False),
    ],
    ids=["2 GB", "more", "swap"],
)
def test_what_may_be_suspended(changes, expected):
    assert may_suspend(echo(config(**changes), None)) is expected


def test_signals_are_read_in_every_spelling():
    assert {signal_number(s) for s in ("SIGTERM", "TERM", 15)} == {signal.SIGTERM}
    for wrong in ("SIGNONE", "", 0, 999, "15"):
        with pytest.raises(ApiError):
            signal_number(wrong)

"""What Fly echoes in another form is no difference; what it changed is."""

from __future__ import annotations

import pytest

from roost.plan.compare import differences, duration_ns, leftovers
from roost.plan.steps import Change
from roost.secret_text import HIDDEN


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ({"autostop": "off"}, {"autostop": False}),
        ({"autostop": "stop"}, {"autostop": True}),
        ({"autostop": "suspend"}, {"autostop": "suspend"}),
        ({"interval": "60s"}, {"interval": "1m0s"}),
        ({"interval": "60s"}, {"interval": 60_000_000_000}),
        ({"timeout": "1500ms"}, {"timeout": "1.5s"}),
        ({"min_machines_running": 0}, {}),
        ({"force_https": False}, {"force_https": None}),
        ({"init": {}}, {"init": None}),
        ({"metadata": {"a": "1"}}, {"metadata": {"a": "1", "theirs": "2"}}),
        ({"guest": {"cpus": 1}}, {"guest": {"cpus": 1, "persist_rootfs": "never"}, "dns": {}}),
        ({"mounts": [{"name": "d"}]}, {"mounts": [{"name": "d", "encrypted": True}]}),
    ],
)
def test_an_echo_in_another_form_is_no_difference(sent, echoed):
    assert differences(sent, echoed) == ()


@pytest.mark.parametrize(
    ("sent", "echoed", "change"),
    [
        ({"autostop": "off"}, {"autostop": True}, Change("autostop", new="off", old=True)),
        ({"autostop": "off"}, {}, Change("autostop", None, "off")),
        ({"interval": "60s"}, {"interval": "61s"}, Change("interval", "61s", "60s")),
        ({"a": {"b": 1}}, {"a": None}, Change("a.b", None, 1)),
        ({"p": [{"port": 80}]}, {"p": []}, Change("p[0].port", None, 80)),
        (
            {"p": [{"port": 80}]},
            {"p": [{"port": 80}, {"port": 443}]},
            Change("p[1]", HIDDEN, None),
        ),
        ({"h": ["tls", "http"]}, {"h": ["http"]}, Change("h", ["http"], ["tls", "http"])),
        ({"env": {"A": ""}}, {"env": {}}, Change("env.A", None, "")),
    ],
)
def test_another_value_is_a_difference(sent, echoed, change):
    assert differences(sent, echoed) == (change,)


@pytest.mark.parametrize("text", ["", "1", "s", "1 m", "-1s", "1m junk", "five"])
def test_what_is_not_a_duration_stays_text(text):
    assert duration_ns(text) == text


@pytest.mark.parametrize(
    ("text", "expected"), [("1h2m3s", 3_723_000_000_000), ("2us", 2_000), ("0s", 0), (7, 7)]
)
def test_durations_are_read_as_nanoseconds(text, expected):
    assert duration_ns(text) == expected


def test_a_duration_that_no_clock_can_measure_is_kept_as_it_is():
    long = "9" * 400 + "h"

    assert duration_ns(long) == long


SENT = {"guest": {"cpus": 1, "kernel_args": "x"}, "services": [{"port": 1, "note": "n"}]}
WANTED = {"guest": {"cpus": 1}, "services": [{"port": 1}]}


def test_what_we_sent_and_do_not_ask_for_any_more_is_a_difference():
    assert differences(WANTED, SENT) == ()
    assert leftovers(SENT, WANTED, SENT) == (
        Change("guest.kernel_args", "x", None),
        Change("services[0].note", "n", None),
    )


def test_what_others_added_stays_theirs():
    theirs = {"guest": {"cpus": 1, "kernel_args": "y"}, "dns": {"a": 1}, "init": {"cmd": ["x"]}}

    assert leftovers(WANTED, WANTED, theirs) == ()


def test_a_value_that_a_hand_put_there_is_taken_away_and_not_shown():
    live = {"guest": {"cpus": 1, "kernel_args": "hunter2"}}

    assert leftovers(SENT, WANTED, live) == (Change("guest.kernel_args", HIDDEN, None),)


@pytest.mark.parametrize(
    "live", [WANTED, {"guest": {"cpus": 1, "kernel_args": ""}}, {}, {"guest": 5}]
)
def test_what_is_gone_or_empty_is_left_over_no_more(live):
    assert leftovers(SENT, WANTED, live) == ()


def test_records_and_marks_of_ours_come_and_go_by_themselves():
    sent = {"metadata": {"roost_release_1": "x"}, "env": {"A": "1"}}

    assert leftovers(sent, {"metadata": {}, "env": {}}, sent) == ()

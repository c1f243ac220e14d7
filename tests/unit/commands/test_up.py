"""What `up` tells while it waits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpers.environments import environment_file
from helpers.flow_folders import NIGHTLY
from roost.commands.up import ctrl_c, kept_by_window, sleep_limit_s
from roost.errors.command import bare


def test_ctrl_c_is_said_to_stop_only_what_this_command_started():
    assert ctrl_c(stops=True) == "Ctrl-C stops it."
    assert "The local Fly ran before and keeps running" in ctrl_c(stops=False)
    assert bare(ctrl_c(stops=False)).endswith("To stop it: roost local stop")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 330.0),
        ({"scaling": {"autostop": "off"}}, None),
        ({"scaling": {"min_machines_running": 1}}, None),
        ({"flows": [{**NIGHTLY, "run": "always"}]}, None),
        # The flow server's two minutes, and what the server needs to see that it is gone.
        ({"flows": [NIGHTLY]}, 330.0 + 120 + 120),
    ],
)
def test_a_server_has_as_long_as_its_flow_servers_to_fall_asleep(fields, expected):
    assert sleep_limit_s(environment_file(**fields)) == expected


OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        ("06:53", ""),
        ("06:54", "A window is about to open: 08:00 Europe/Berlin (mon-fri 08:00-18:00)."),
        ("07:00", "A window is open until 18:00 Europe/Berlin."),
        ("17:00", ""),
    ],
)
def test_the_sleep_of_a_server_is_not_tried_in_a_window_or_just_before_one(clock, words):
    now = datetime.fromisoformat(f"2026-11-30T{clock}:01").replace(tzinfo=UTC)
    file = environment_file(scaling={"windows": [OFFICE]})

    found = kept_by_window(file, now, limit_s=300)

    assert found.startswith(words)
    assert bool(found) == bool(words)
    assert kept_by_window(environment_file(), now, limit_s=300) == ""

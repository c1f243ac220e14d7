"""What `up` tells while it waits."""

from __future__ import annotations

import pytest

from helpers.environments import environment_file
from helpers.flow_folders import NIGHTLY
from roost.commands.up import ctrl_c, sleep_limit_s
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

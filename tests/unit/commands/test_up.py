"""What `up` tells while it waits."""

from __future__ import annotations

from roost.commands.up import ctrl_c
from roost.errors.command import bare


def test_ctrl_c_is_said_to_stop_only_what_this_command_started():
    assert ctrl_c(stops=True) == "Ctrl-C stops it."
    assert "The local Fly ran before and keeps running" in ctrl_c(stops=False)
    assert bare(ctrl_c(stops=False)).endswith("To stop it: roost local stop")

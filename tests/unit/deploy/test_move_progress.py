"""How far a copy is, in the machine's metadata: reported where it changed, and never after the copy."""

from __future__ import annotations

import json

from helpers.waiting import until
from roost_server import move_progress
from roost_server.move_progress import KEY, Progress


def reported(machine_api):
    """Return what was written, each as a document."""
    return [json.loads(body["value"]) for body in machine_api.bodies]


def test_rows_of_both_parts_are_told_while_they_change(machine_api, monkeypatch):
    monkeypatch.setattr(move_progress, "EVERY_S", 0.01)
    environ = {**machine_api.environ, "FLY_MACHINE_VERSION": "v1"}

    with Progress(environ, 30) as progress:
        progress.add("flow", 10)
        until(lambda: reported(machine_api)[-1:] and reported(machine_api)[-1]["rows"] == 10)
        progress.add("log", 20)
        progress.begin("compare")
        progress.add("log")
        until(lambda: reported(machine_api)[-1]["doing"] == "compare")
    after = len(machine_api.bodies)

    assert {path.rpartition("/")[2] for _, path in machine_api.asked} == {KEY}
    last = {"version": "v1", "doing": "compare", "table": "log", "rows": 0, "of": 30, "done": 33}
    assert reported(machine_api)[-1] == last
    counters = [one["done"] for one in reported(machine_api)]
    assert counters == sorted(set(counters))  # the same is not reported twice
    assert len(machine_api.bodies) == after


def test_what_fly_does_not_take_is_told_again(machine_api, says, monkeypatch):
    monkeypatch.setattr(move_progress, "EVERY_S", 0.01)
    machine_api.answers = [says(500)]

    with Progress(machine_api.environ, 5) as progress:
        progress.add("flow", 5)
        until(lambda: len(machine_api.bodies) >= 2)

    assert reported(machine_api)[0] == reported(machine_api)[1]

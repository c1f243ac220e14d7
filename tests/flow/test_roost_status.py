"""What status says of real processes on a local Fly: how they ended, and what still serves."""

from __future__ import annotations

import os
import signal

import pytest

from helpers.small_server import NAME, SMALL
from helpers.waiting import until
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

STATUS = ("status", NAME, "--local")


def test_a_killed_server_that_came_back_is_ready_and_its_end_is_told(site):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, secrets=[AUTH_SECRET])
    site.roost.run("apply", NAME, "--local")
    assert site.roost.json(*STATUS)["ready"] is True
    [machine] = site.list("machines")
    [process] = site.daemon.call("GET", f"{site.app}/machines/{machine['id']}/ps")[:1]

    os.kill(process["pid"], signal.SIGKILL)
    until(lambda: "exit" in [event["type"] for event in site.list("machines")[0]["events"]])
    site.roost.run("wake", NAME, "--local")
    said = site.roost.run(*STATUS)

    assert "Ready: the server and its database answer. Release 1: good." in said.stdout
    told = " ".join(said.stdout.split())
    assert f"The machine {machine['id']} was ended by signal 9 instead of serving." in told

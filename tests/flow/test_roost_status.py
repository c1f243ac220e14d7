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


def test_a_volume_that_fills_up_is_extended_as_the_file_says_and_told_of_at_its_limit(site):
    """With nobody woken for it, and without drift: what Fly did is what the file asked for."""
    prefect = {"version": "3.8.8", "image": SMALL}
    database = {
        "backend": "sqlite",
        "volume_gb": 1,
        "extend": {"at_percent": 80, "add_gb": 1, "limit_gb": 2},
    }
    site.roost.write(NAME, app=site.name, prefect=prefect, database=database, secrets=[AUTH_SECRET])
    site.roost.run("apply", NAME, "--local")
    [volume] = site.list("volumes")
    assert volume["size_gb"] == 1

    large = site.daemon.home / "volumes" / volume["id"] / "large"
    with large.open("wb") as file:
        file.truncate(19 * 1024**3 // 10)
    until(lambda: site.list("volumes")[0]["size_gb"] > 1)
    drifted = site.roost.json("drift", NAME, "--local")
    status = site.roost.json(*STATUS)
    said = site.roost.run(*STATUS)

    assert drifted["state"] == "clean"
    assert "It is at its limit: raise database.extend.limit_gb" in drifted["notes"][0]
    assert status["volumes"][0]["used_percent"] in (95, 96)
    assert "% full" in said.stdout

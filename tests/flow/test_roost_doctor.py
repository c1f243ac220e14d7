"""Faults made real on a local Fly: doctor names the cause, its diff is applied, and then all is well."""

from __future__ import annotations

import subprocess

import pytest

from helpers.small_server import EXITS, NAME, SAYS, SMALL, TROUBLE
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
DOCTOR = ("doctor", NAME, "--local")


def wrong(site, *options):
    """Return what doctor finds wrong; it ends with 2 if there is anything."""
    found = site.roost.json(*DOCTOR, *options, expect=2)["checks"]
    return [check for check in found if check["state"] == "wrong"]


def take(site, check):
    """Apply the diff of a finding, as a person does."""
    done = subprocess.run(
        ["patch", "-p1"],
        cwd=site.roost.environments.parent,
        input=f"{check['change']}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (check, done.stdout)


def test_a_server_that_refuses_a_setting_starts_after_the_diff_and_is_not_woken(site):
    words = "a Prefect setting is wrong (small_trouble: must be empty); fix prefect.settings"
    site.write(**{TROUBLE: EXITS, SAYS: words})
    site.roost.run(*APPLY, expect=5)

    [check] = wrong(site)

    assert "Prefect refuses a setting" in check["what"]
    assert any("exited with code 1" in line for line in check["evidence"])
    assert any(words in line for line in check["evidence"])
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)

    site.roost.run("sleep", NAME, "--local")
    said = site.roost.run(*DOCTOR)
    assert "it sleeps, and --wake was not given" in said.stdout
    assert site.list("machines")[0]["state"] == "suspended"
    said = site.roost.run(*DOCTOR, "--wake")
    assert "the server and its database answer" in said.stdout


def test_a_volume_that_is_nearly_full_has_room_after_the_diff(site):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, secrets=[AUTH_SECRET])
    site.roost.run(*APPLY)
    [volume] = site.list("volumes")
    with (site.daemon.home / "volumes" / volume["id"] / "large").open("wb") as file:
        file.truncate(95 * 1024**3 // 100)

    [check] = wrong(site)

    assert "% full" in check["what"]
    assert "give the volume 2 GB: $0.30 a month, now $0.15" in check["mend"]
    take(site, check)
    site.roost.run(*APPLY)
    site.roost.run(*DOCTOR)

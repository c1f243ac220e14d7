"""A person's real Prefect is connected to a sleeping server by one command."""

from __future__ import annotations

import os
import stat
import subprocess
import tomllib

import pytest

from helpers.prefect_site import LOGIN, NAME
from helpers.prefect_versions import NEWEST
from helpers.waiting import LIMIT_S

pytestmark = pytest.mark.slow

MINE = """active = "mine"

[profiles.mine]
PREFECT_LOGGING_LEVEL = "INFO"
"""


@pytest.fixture
def person(site, image, tmp_path):
    """A person with a Prefect of their own, and a profile in it; runs their commands."""
    environ = {
        "PATH": f"{image.bin}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "DO_NOT_TRACK": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        return done.stdout

    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "profiles.toml").write_text(MINE)
    site.wake()
    return environ, run


def test_one_command_wakes_a_server_and_connects_a_real_client_to_it(site, person, tmp_path):
    environ, run = person
    site.rest("suspend", "suspended")

    said = site.roost.run("connect", NAME, "--local", **environ)

    assert f"Your Prefect {NEWEST} is connected to" in said.stdout
    assert "prefect profile use mine" in said.stdout
    assert LOGIN not in said.stdout + said.stderr
    run("prefect", "variable", "set", "connected", "yes", "--overwrite")
    assert site.ask("GET", "/variables/name/connected").json()["value"] == "yes"
    file = tmp_path / "prefect" / "profiles.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "[profiles.mine]" in file.read_text()


def test_a_profile_of_that_name_keeps_its_other_settings_and_loses_a_key_of_the_cloud(
    site, person, tmp_path
):
    environ, _ = person
    file = tmp_path / "prefect" / "profiles.toml"
    file.write_text(f'{MINE}PREFECT_API_KEY = "pnu_key"\n')
    file.chmod(0o644)

    site.roost.run("connect", NAME, "--local", "--profile", "mine", **environ)

    found = tomllib.loads(file.read_text())["profiles"]["mine"]
    assert found["PREFECT_LOGGING_LEVEL"] == "INFO"
    assert found["PREFECT_API_AUTH_STRING"] == LOGIN
    assert "PREFECT_API_KEY" not in found
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_wrong_login_leaves_the_profiles_as_they_were(site, person, tmp_path):
    environ, _ = person
    file = tmp_path / "prefect" / "profiles.toml"
    before = file.read_bytes()

    said = site.roost.run(
        "connect", NAME, "--local", expect=1, PREFECT_SERVER_API_AUTH_STRING="ada:wrong", **environ
    )

    assert "(401)" in said.stderr
    assert file.read_bytes() == before


def test_doctor_reads_the_settings_of_the_persons_own_prefect_and_tries_its_login(site, person):
    environ, run = person
    doctor = ("doctor", NAME, "--client", "--local")
    site.roost.run("connect", NAME, "--local", **environ)

    said = site.roost.run(*doctor, **environ)
    run("prefect", "config", "set", "PREFECT_API_AUTH_STRING=ada:wrong")
    refused = site.roost.run(*doctor, expect=2, **environ)

    assert f"Prefect {NEWEST} fits the server's {NEWEST}" in said.stdout
    assert "the server refuses the login in PREFECT_API_AUTH_STRING" in refused.stdout
    assert LOGIN not in said.stdout + refused.stdout
    assert "ada:wrong" not in refused.stdout

"""What `roost up` prints can be copied into a shell, and Prefect's own client gets through by it."""

from __future__ import annotations

import os
import subprocess
import sys

from helpers.fake_prefect import LOGIN
from helpers.small_server import NAME, SMALL
from helpers.waiting import LIMIT_S

# As Prefect's client does: httpx, and the address as the system resolves it.
CLIENT = """
import os, httpx
user, password = os.environ["PREFECT_API_AUTH_STRING"].split(":")
url = os.environ["PREFECT_API_URL"] + "/admin/version"
print(httpx.get(url, auth=(user, password), trust_env=False).raise_for_status().json())
"""


def exported(said: str) -> dict[str, str]:
    lines = [line.split() for line in said.splitlines()]
    pairs = [words[1].split("=", 1) for words in lines if words[:1] == ["export"]]
    return dict(pairs)


def test_the_two_lines_it_prints_lead_prefect_s_client_to_the_server(site):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, scaling={"autostop": "off"})

    said = site.roost.run("up", NAME, "--exit").stdout

    lines = exported(said)
    assert lines["PREFECT_API_AUTH_STRING"] == "USER:PASSWORD"
    assert LOGIN not in said
    asked = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env={**os.environ, **lines, "PREFECT_API_AUTH_STRING": LOGIN},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (asked.returncode, asked.stdout) == (0, "3.8.8\n"), asked.stderr

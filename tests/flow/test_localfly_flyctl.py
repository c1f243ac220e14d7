"""Fly's own client and Roost on the same app: what one makes, the other manages or refuses.

They need Fly's client, which is not part of this project: its path is in $FLYCTL.
"""

from __future__ import annotations

import os

import pytest

from flyctl.trial import Trial
from helpers.fake_prefect import LOGIN
from helpers.small_server import NAME, SMALL
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow
NO_DNS = "--dns-checks=false"
SERVER = """app = "{app}"
primary_region = "iad"
[env]
  PREFECT_SERVER_API_HOST = "0.0.0.0"
  PREFECT_SERVER_API_PORT = "4200"
  PREFECT_HOME = "/data"
[[mounts]]
  source = "prefect_data"
  destination = "/data"
  initial_size = "1gb"
[http_service]
  internal_port = 4200
"""


@pytest.fixture
def flyctl(site, tmp_path):
    """Fly's client, on the app of the test's own environment."""
    program = os.environ.get("FLYCTL")
    if not program:
        pytest.skip("Fly's client is not part of this project: set FLYCTL to its path")
    place = tmp_path / "place"
    place.mkdir()
    trial = Trial(program, place, site.daemon, app=site.name)
    trial.write(SERVER.format(app=site.name))

    def run(*words, stdin=""):
        result = trial.run(words, stdin)
        assert result.code == 0, result.output
        return result.output

    return run


def test_flyctl_manages_what_roost_makes_and_drift_finds_and_heals_it(site, flyctl):
    site.roost.run("apply", NAME, "--local")
    [machine] = site.list("machines")

    assert site.name in flyctl("apps", "list")
    assert machine["id"] in flyctl("status")
    assert machine["id"] in flyctl("machine", "list")
    [volume] = site.list("volumes")
    assert volume["id"] in flyctl("volumes", "list")
    assert AUTH_SECRET in flyctl("secrets", "list")
    before = machine["config"]["guest"]["memory_mb"]
    flyctl("scale", "memory", str(2 * before))
    [scaled] = site.list("machines")
    assert scaled["config"]["guest"]["memory_mb"] == 2 * before

    found = site.roost.run("drift", NAME, "--local", expect=2)
    assert "memory" in found.stdout
    site.roost.run("apply", NAME, "--local")

    [healed] = site.list("machines")
    assert healed["id"] == machine["id"]
    assert healed["config"]["guest"] == machine["config"]["guest"]
    assert site.roost.run("drift", NAME, "--local").stdout == f"{NAME}: clean.\n"


def test_roost_refuses_what_flyctl_made_until_its_data_is_brought_over(site, flyctl):
    flyctl("apps", "create", site.name, "-o", "personal")
    flyctl("secrets", "import", "--stage", stdin=f"{AUTH_SECRET}={LOGIN}\n")
    flyctl("deploy", "--image", SMALL, NO_DNS, "--ha=false", "--smoke-checks=false")
    [machine] = site.list("machines")

    plan = site.roost.json("plan", NAME, "--local")

    assert [refusal["key"] for refusal in plan["refusals"]] == [f"machine/{machine['name']}"]
    site.roost.run("apply", NAME, "--local", expect=3)
    assert site.list("machines") == [machine]

"""Roost on a Fly in bad weather: every command ends, says what to do, and nothing is made twice."""

from __future__ import annotations

import re

import pytest

from helpers.local_daemon import LocalDaemon
from helpers.roost_command import finish, shows_traceback
from helpers.small_server import NAME, SmallSite

pytestmark = pytest.mark.slow

TRIES = 8
ADVICE = re.compile(r"^roost: error \[[a-z-]+\]: .+[.:)] \S", re.MULTILINE)


def done_at_last(site, *command):
    """Run a command as a person does, who follows its advice and tries again; return its output."""
    said = []
    for _ in range(TRIES):
        ended = finish(site.roost.begin(*command, "--local"))
        said.append(ended.stderr)
        assert not shows_traceback(ended.stderr), ended.stderr
        if ended.returncode == 0:
            return ended
        assert ADVICE.search(ended.stderr), ended.stderr
    raise AssertionError(f"{command} did not get through: {said}")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_server_is_deployed_in_bad_weather_and_is_whole_afterwards(
    tmp_path,
    image_cache,
    small_server,  # noqa: ARG001 - the image must be there
    seed,
):
    daemon = LocalDaemon(tmp_path / "home", image_cache)
    try:
        daemon.start("--weather", seed)
        site = SmallSite(tmp_path / "roost", daemon, f"weather-{seed}")
        done_at_last(site, "apply", NAME)
        assert "weather: " in (tmp_path / "home.log").read_text()
        assert NAME in done_at_last(site, "status", NAME).stdout
        done_at_last(site, "plan", NAME)
        daemon.stop()
        daemon.start()
        site.lead_to(str(daemon.client.base_url))
        site.assert_whole()
    finally:
        daemon.clean()


def test_a_weather_that_is_none_is_told_before_anything_is_served(tmp_path, image_cache):
    daemon = LocalDaemon(tmp_path / "home", image_cache)
    (tmp_path / "w.yaml").write_text("lost: often\n")

    refused = daemon.command("serve", "--weather", str(tmp_path / "w.yaml"))

    assert refused.returncode == 1
    assert refused.stderr.endswith("lost is 'often'. Allowed: a number from 0 to 1.\n")

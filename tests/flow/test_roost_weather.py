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


def test_a_server_whose_host_died_is_put_on_another_as_the_plan_says(
    own_site, own_daemon, tmp_path
):
    site = own_site
    site.roost.run("apply", NAME, "--local")
    site.roost.run("backup", NAME, "--local")
    [machine] = site.list("machines")
    volume = machine["config"]["mounts"][0]["volume"]
    (tmp_path / "w.yaml").write_text("seed: 7\nhosts_die: 0.5\n")  # of the first six, the first
    own_daemon.stop()
    own_daemon.start("--weather", str(tmp_path / "w.yaml"))
    site.lead_to(str(own_daemon.client.base_url))

    said = {
        "plan": site.roost.run("plan", NAME, "--local").stdout,
        "apply": site.roost.run("apply", NAME, "--local", expect=3).stderr,
        "status": site.roost.run("status", NAME, "--local", expect=1).stdout,
        "drift": site.roost.run("drift", NAME, "--local", expect=2).stdout,
        "restore": site.roost.run("restore", NAME, "--local", expect=3).stderr,
        "backup": site.roost.run("backup", NAME, "--local", expect=1).stderr,
    }
    assert "running" in site.roost.run("backups", NAME, "--local").stdout

    for verb, text in said.items():
        assert "does not answer" in text, (verb, text)
    for verb in ("plan", "apply", "restore"):
        for step in (
            f"`fly machine destroy {machine['id']} --force`",
            f"`fly volumes destroy {volume}`",
            f"`./run roost restore {NAME} --local`",
        ):
            assert step in said[verb]
    assert f"what to do: `./run roost plan {NAME} --local`" in said["status"]
    # The steps, one by one; after the first, nothing is planned onto the dead host.
    own_daemon.call("DELETE", f"{site.app}/machines/{machine['id']}?force=true")
    for refused in ("apply", "restore"):
        text = site.roost.run(refused, NAME, "--local", expect=3).stderr
        assert f"the host of the volume {volume} does not answer (unreachable)" in text
        assert f"`fly volumes destroy {volume}`" in text
    own_daemon.call("DELETE", f"{site.app}/volumes/{volume}")
    site.roost.run("restore", NAME, "--local")

    [restored] = site.list("machines")
    assert restored["id"] != machine["id"]
    assert restored["host_status"] == "ok"
    assert not site.steps_left()

"""A Fly that takes its time: secrets its hosts do not know yet, a machine that is just being suspended."""

from __future__ import annotations

import pytest

from helpers.local_daemon import LocalDaemon
from helpers.small_server import NAME, SMALL, SmallSite
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
TAKES_S = 1.5
SECRET = "HOOK_URL"


@pytest.fixture
def slow_site(tmp_path, image_cache, small_server):  # noqa: ARG001 - the image must be there
    """An environment on a daemon on which things take a while, applied."""
    daemon = LocalDaemon(tmp_path / "home", image_cache)
    try:
        daemon.start("--suspend-takes", str(TAKES_S), "--secrets-take", str(TAKES_S))
        site = SmallSite(tmp_path / "roost", daemon, "slow-site")
        site.roost.run(*APPLY)
        yield site
    finally:
        daemon.clean()


def begin_suspend(site):
    """Have the machine be suspended, and do not wait until it is."""
    [machine] = site.list("machines")
    site.daemon.call("POST", f"{site.app}/machines/{machine['id']}/suspend")
    return machine


def test_a_machine_gets_its_new_secrets_as_soon_as_its_host_knows_them(slow_site):
    prefect = {"version": "3.8.8", "image": SMALL}
    slow_site.roost.write(NAME, app=slow_site.name, prefect=prefect, secrets=[AUTH_SECRET, SECRET])

    slow_site.roost.run(*APPLY, **{SECRET: "https://hooks.example/new"})

    [machine] = slow_site.list("machines")
    assert machine["state"] == "started"
    assert slow_site.daemon.call("GET", f"{slow_site.app}/secrets/{SECRET}")["name"] == SECRET
    assert not slow_site.steps_left()


def test_a_restore_waits_for_a_machine_that_is_just_being_suspended(slow_site):
    backup = slow_site.roost.json("backup", NAME, "--local")
    old = begin_suspend(slow_site)

    slow_site.roost.run("restore", NAME, "--local", "--snapshot", backup["snapshot"])

    [machine] = slow_site.list("machines")
    assert machine["id"] != old["id"]
    assert machine["state"] == "started"
    assert not slow_site.steps_left()


def test_a_destroy_takes_its_last_copy_of_a_machine_that_is_just_being_suspended(slow_site):
    begin_suspend(slow_site)

    slow_site.roost.run("destroy", NAME, "--local", "--confirm", slow_site.name)

    assert slow_site.list("machines") == []
    assert [v for v in slow_site.list("volumes") if v["state"] == "created"] == []

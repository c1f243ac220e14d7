"""A change that fails its gate is taken back, while somebody writes from outside: nothing is lost."""

from __future__ import annotations

import pytest

from helpers.outside_writer import writing
from helpers.prefect_site import APP, NAME, PrefectSite
from helpers.prefect_versions import NEWEST, OLDER

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
NO_RUNS = {
    "settings": {
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3600",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "3600",
    }
}
"""Settings that are good ones, and with which no schedule makes a run while the gate looks."""
FAILED = "Release {} failed: Checks failed: scheduler: "
BACK = "The last healthy release was restored and passed the gate."


@pytest.fixture
def old_site(tmp_path, image_cache):
    """A server of the older Prefect."""
    found = PrefectSite(tmp_path, image_cache)
    try:
        yield found.start(prefect={"version": OLDER}).bring_up()
    finally:
        found.daemon.clean()


def releases(site):
    """Number, verdict, version and what it put back, the newest first."""
    found = site.roost.json("releases", NAME, "--local")["releases"]
    return [(r["number"], r["verdict"], r["prefect"], r["back_to"]) for r in found]


def home(site):
    """The folder of the server's data."""
    [volume] = site.daemon.call("GET", f"{APP}/volumes")
    return site.daemon.home / "volumes" / volume["id"]


def version(site):
    """The version that the server says it is."""
    return site.ask("GET", "/admin/version").json()


def test_an_upgrade_that_fails_comes_back_with_every_acknowledged_row(old_site):
    site = old_site
    with writing(site) as writer:
        site.write(prefect={"version": NEWEST, **NO_RUNS})
        done = site.roost.run(*APPLY, expect=4)
        before = len(writer.acknowledged)

        assert FAILED.format(2) in done.stderr
        assert BACK in done.stderr
        assert version(site) == OLDER
        assert releases(site) == [
            (3, "good", OLDER, 1),
            (2, "failed", NEWEST, None),
            (1, "good", OLDER, None),
        ]
        assert site.roost.json("releases", NAME, "--local")["releases"][1]["snapshot"]

        refused = site.roost.run(*APPLY, expect=3)
        assert f"`./run roost releases {NAME} --local --clear 2`" in refused.stderr

        site.roost.run("releases", NAME, "--local", "--clear", "2")
        site.write(prefect={"version": NEWEST})
        site.roost.run(*APPLY)
        assert version(site) == NEWEST

    assert len(writer.acknowledged) > before > 0
    assert writer.lost() == set()
    assert releases(site)[0] == (4, "good", NEWEST, None)


def test_a_bad_setting_comes_back_without_its_database_being_touched(site):
    site.wake()
    database = home(site) / "prefect.db"
    number, inode = releases(site)[0][0], database.stat().st_ino
    with writing(site) as writer:
        site.write(prefect=NO_RUNS)
        try:
            done = site.roost.run(*APPLY, expect=4)
        finally:
            site.write()  # others share the site

    assert FAILED.format(number + 1) in done.stderr
    assert [(r[0], r[1]) for r in releases(site)[:2]] == [
        *((number + 2, "good"), (number + 1, "failed")),
    ]
    assert "snapshot" not in done.stderr
    assert database.stat().st_ino == inode
    assert not [path.name for path in home(site).iterdir() if "upgrade" in path.name]
    assert len(writer.acknowledged) > 0
    assert writer.lost() == set()
    assert site.roost.json("plan", NAME, "--local")["steps"] == []

"""An extra package of the server: installed from the lock beside the file, and used by the real Prefect."""

from __future__ import annotations

import pytest

from helpers.prefect_site import NAME, PrefectSite
from helpers.prefect_versions import NEWEST
from roost.environment.extras import parse_extra
from roost.environment.prefect_settings import OWN_DEPLOY
from roost.environment.server_lock import header

pytestmark = pytest.mark.slow

# Of its block types Prefect itself has none. Its other requirements are in every lock.
EXTRA, BLOCK = "prefect-redis", "redis-database"
LOCKED = f"""{EXTRA}==0.3.0 \\
    --hash=sha256:724a65bb2ceed9a0eb9ad6af129e66e5427f0c4b364282f7ee5c9bacf8638549 \\
    --hash=sha256:d1ca0865a37f1c90a83d7c04127609c683c0f794d83ed491c5d0f33128dc1e42
"""


@pytest.fixture
def site(tmp_path, image_cache):
    """A server without extra packages."""
    found = PrefectSite(tmp_path, image_cache)
    try:
        yield found.start().bring_up()
    finally:
        found.daemon.clean()


def block_types(site):
    """Return what the server offers as blocks."""
    found = site.ask("POST", "/block_types/filter", {"limit": 200}).json()
    return {each["slug"] for each in found}


def test_a_package_that_is_added_to_a_server_registers_its_blocks(site):
    before = block_types(site)
    site.write(prefect={"version": NEWEST, "extras": [EXTRA]})
    refused = site.roost.run("plan", NAME, "--local", expect=3)
    proven = (OWN_DEPLOY / "locks" / f"prefect-{NEWEST}.txt").read_text()
    lock = site.roost.environments / "locks" / f"{NAME}.txt"
    lock.parent.mkdir()
    lock.write_text(header((parse_extra(EXTRA),), ()) + proven + LOCKED)
    plan = site.roost.json("plan", NAME, "--local")
    site.roost.run("apply", NAME, "--local", expect=0)

    assert f"`./run lock --server {NAME}`" in refused.stderr
    assert [step["kind"] for step in plan["steps"]] == ["update-machine"]
    assert block_types(site) - before == {BLOCK}

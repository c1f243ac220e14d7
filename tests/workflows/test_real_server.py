"""One story with the real Prefect server, from the pull request to the proof."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from helpers.fake_index import FakeIndex
from helpers.local_daemon import LocalDaemon
from helpers.prefect_versions import NEWEST, OLDER
from helpers.workflow_files import ROOT
from helpers.workflow_world import World
from localfly.images.builder import Images
from roost.environment.prefect_settings import OWN_DEPLOY
from roost.plan.image import image_reference, read_image_parts

pytestmark = pytest.mark.workflows


@pytest.fixture
def real(tmp_path, run_state, bytecode):
    """A world whose Fly has the images of this computer, as `./run up` has."""
    state = Path(os.environ.get("RUN_STATE") or ROOT / ".run")
    cache = Path(os.environ.get("LOCALFLY_CACHE") or state / "images")
    fly = LocalDaemon(tmp_path / "fly", cache)
    world = World(tmp_path / "world", fly, cache, run_state, bytecode)
    try:
        fly.start()
        yield world
        world.assert_no_secret_anywhere()
    finally:
        world.close()
        fly.clean()


def test_a_real_server_from_its_pull_request_to_its_proof(real):
    """Rehearsed with wake times and memory, deployed as approved, proved, asleep, woken by the button."""
    real.found()
    real.branch("server")
    real.write("staging", small=False, machine={"size": "shared-cpu-1x", "memory_mb": 512})

    number, runs = real.open_pull("A real server")

    assert runs["plan"].good, runs["plan"]
    rehearsal = runs["plan"].artifact("rehearsal-staging")
    assert rehearsal["outcome"] == "passed"
    assert rehearsal["wake"]
    assert 0 < rehearsal["memory_mb"]["peak"] <= rehearsal["memory_mb"]["limit"]
    assert "Rehearsal" in real.comment(number)

    deployed = real.happens(real.merge(number))["deploy"]

    assert deployed.good, deployed
    assert deployed.artifact("deploy-staging")["outcome"] == "deployed"
    assert "deployed and proved" in real.comment(number)
    assert real.serves("staging")
    for action in ("sleep", "smoke"):
        assert real.press("server", environment="staging", action=action).good


def test_a_release_of_prefect_is_tried_and_proposed_with_its_rehearsal(real):
    """From 3.8.8 to the newest 3.9 that is old enough: its pull request has the real migrations' rehearsal."""
    real.found()
    # A job of act's reaches no index of packages, so the image of the base is there before.
    ref = image_reference(real.app("staging"), OLDER, read_image_parts(OWN_DEPLOY, OLDER))
    asyncio.run(Images(real.cache).build(OWN_DEPLOY, OLDER, ref))
    real.write(
        "staging",
        small=False,
        prefect={"version": OLDER},
        machine={"size": "shared-cpu-1x", "memory_mb": 512},
    )
    real.push("Found staging")
    with FakeIndex() as index:
        for version, days in ((OLDER, 90), (NEWEST, 30), ("3.9.99", 1)):
            index.add(version, days_old=days)
        real.index = index.url
        real.add_app()

        found = real.schedule("prefect")

    real.index = ""
    assert found.good, str(found)
    assert found.jobs == dict.fromkeys(("look", "try", "propose", "issue"), "success")
    [pull] = real.github.pulls()
    assert pull.issue.title == f"Upgrade Prefect to {NEWEST} in staging"
    assert f"version: {NEWEST}" in real.show("environments/staging.yaml", pull.head_ref)

    plan = real.happens(real.pull_event(pull.number, "opened"), "plan")["plan"]

    assert plan.good, plan
    rehearsal = plan.artifact("rehearsal-staging")
    assert rehearsal["outcome"] == "passed"
    assert (rehearsal["base"], rehearsal["prefect"]) == ("created", NEWEST), rehearsal["message"]
    assert "applied to the state of the base" in real.comment(pull.number)

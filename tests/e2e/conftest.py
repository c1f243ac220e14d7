"""One real Prefect server that many tests here share; each of them wakes it first."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from helpers.prefect_process import PrefectProcess
from helpers.prefect_site import PrefectSite
from helpers.prefect_versions import NEWEST
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = Path(__file__).parent
# Fixtures that each worker can have for itself: a built image stands in the one cache.
SHARED_BY_ALL = {"image", "image_cache", "tmp_path_factory", "event_loop_policy"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark these tests, and keep those on one worker that share what is slow to start."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))
            if group := _group(item):
                item.add_marker(pytest.mark.xdist_group(group))


def _group(item):
    """Return the name of the tests that must run on this test's worker; None where it shares nothing.

    Tests with servers of their own run on any worker, so that they wait beside each other. The cache
    of images is locked between processes: whoever needs an image first builds it.
    """
    known = item._fixtureinfo.name2fixturedefs
    scopes = {name: found[-1].scope for name, found in known.items() if name not in SHARED_BY_ALL}
    if scopes.get("site") == "session":
        return "e2e"
    return f"e2e-{item.path.stem}" if {"module", "session"} & {*scopes.values()} else None


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory):
    """Where the image of Prefect is built once, or was."""
    return Path(os.environ.get("LOCALFLY_CACHE") or tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def image(image_cache):
    """The image of Prefect itself."""
    ref = image_reference("acme-prefect", NEWEST, read_image_parts(DEPLOY, NEWEST))
    return asyncio.run(Images(image_cache).build(DEPLOY, NEWEST, ref)).image


@pytest.fixture(scope="session")
def site(tmp_path_factory, image_cache):
    """A local Fly with one environment that was brought up on it by plan and apply."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Fails where another worker has one: then the group above is not kept together.
        (tmp_path_factory.getbasetemp().parent / "the-one-site-of-e2e").touch(exist_ok=False)
    found = PrefectSite(tmp_path_factory.mktemp("site"), image_cache)
    try:
        yield found.start().bring_up()
    finally:
        found.daemon.clean()


@pytest.fixture
def serve(image, tmp_path):
    """Makes a server of the test's own; it is ended with the test."""
    made = []

    def serve(**settings):
        made.append(PrefectProcess(image, tmp_path, **settings))
        return made[-1].__enter__()

    yield serve
    for server in made:
        server.kill()


@pytest.fixture
def own_site(tmp_path, image_cache):
    """A local Fly of the test's own."""
    found = PrefectSite(tmp_path, image_cache)
    try:
        yield found
    finally:
        found.daemon.clean()

"""One real Prefect server that most tests here share, brought up once; each begins by waking it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from helpers.prefect_site import PrefectSite
from helpers.prefect_versions import NEWEST
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep these tests on one worker, which brings the server up; building its image takes minutes."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))
            item.add_marker(pytest.mark.timeout(1800))


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

"""Each locked Prefect has what the server uses of its insides; the one that has not is named."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from localfly.images.builder import Images
from roost.environment.prefect_settings import OWN_DEPLOY as DEPLOY
from roost.environment.prefect_settings import locked_versions
from roost.plan.image import image_reference, read_image_parts
from roost_server.prefect_internals import INTERNALS

pytestmark = pytest.mark.slow
MOVED = """
from roost_server import prefect_internals as internals
topics = internals.TOPIC.load()
del topics._topics
raise SystemExit(internals.main())
"""


@pytest.fixture(params=locked_versions(DEPLOY))
def run(request, image_cache, tmp_path):
    """Runs the image's Python; gives its exit code and what it wrote."""
    version = request.param
    ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
    image = asyncio.run(Images(image_cache).build(DEPLOY, version, ref)).image

    def run(*arguments):
        done = subprocess.run(
            [image.bin / "python", *arguments],
            env={"PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(image.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.replace(version, "VERSION"), done.stderr

    return run


def test_every_part_is_where_the_server_uses_it(run):
    code, said, errors = run("-m", "roost_server.prefect_internals")

    every = f"Prefect VERSION: all {len(INTERNALS)} parts are where Roost uses them\n"
    assert (code, said) == (0, every), errors


def test_a_part_that_is_not_there_is_named_with_the_release_that_moved_it(run):
    code, said, errors = run("-c", MOVED)

    assert code == 1, errors
    assert said.startswith("TOPIC: Prefect VERSION has no ")
    assert "'_topics'" in said

"""The committed lists of settings are those of the locked versions."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from localfly.images.builder import Images
from roost.environment.prefect_settings import OWN_DEPLOY as DEPLOY
from roost.environment.prefect_settings import locked_versions
from roost.plan.image import image_reference, read_image_parts


@pytest.mark.slow
@pytest.mark.parametrize("version", locked_versions(DEPLOY))
def test_a_list_is_what_the_locked_prefect_says_itself(tmp_path, image_cache, version):
    """If it is not: ./run lock VERSION."""
    ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
    image = asyncio.run(Images(image_cache).build(DEPLOY, version, ref)).image
    subprocess.run(
        [image.bin / "python", DEPLOY / "list_settings.py", tmp_path / "list.txt"],
        env={"PREFECT_HOME": str(tmp_path)},
        check=True,
    )

    committed = DEPLOY / "settings" / f"prefect-{version}.txt"
    assert (tmp_path / "list.txt").read_text() == committed.read_text()

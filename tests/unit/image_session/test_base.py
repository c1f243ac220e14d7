from __future__ import annotations

from pathlib import Path

import pytest

from image.base import Base, bring_base, debian_release
from image.errors import CommandError, ImageError

WANTED = "docker.io/library/python:3.13-slim-trixie"


class Storage:
    """Buildah's storage, with a registry that answers or does not."""

    def __init__(self, *images, registry=()):
        self.images = set(images)
        self.registry = registry
        self.scratch = Path("/nowhere")

    def has(self, image):
        """Return whether it is there."""
        return image in self.images

    def pull(self, image):
        """Bring it, or fail as buildah does: at length, the cause last."""
        if image not in self.registry:
            raise CommandError("`buildah pull` failed:\ntried thrice\nError: no such host")
        self.images.add(image)


def test_a_base_that_was_pulled_before_is_used_without_asking():
    assert bring_base(Storage(WANTED), WANTED, pytest.fail) == Base(WANTED)


def test_the_real_base_wins_over_one_that_stood_in_before():
    storage = Storage("localhost/stand-in:trixie", registry=[WANTED])

    assert bring_base(storage, WANTED, lambda _: None) == Base(WANTED)


def test_without_a_registry_a_stand_in_is_used_and_the_cause_is_told():
    told = []

    base = bring_base(Storage("localhost/stand-in:trixie"), WANTED, told.append)

    assert base == Base("localhost/stand-in:trixie", stand_in_for=WANTED)
    assert any("no such host" in line for line in told)
    assert not any("thrice" in line for line in told)


@pytest.mark.parametrize(
    "image", [WANTED, "python:3.13.5-slim-trixie", f"{WANTED}@sha256:{'0' * 64}"]
)
def test_the_release_of_debian_is_read_from_the_tag(image):
    assert debian_release(image) == "trixie"


@pytest.mark.parametrize("image", ["python:3.13-slim", "python", "python:3.13-alpine", "a-slim-b"])
def test_a_tag_that_names_no_release_is_refused(image):
    with pytest.raises(ImageError, match="tag does not end in -slim-RELEASE"):
        debian_release(image)

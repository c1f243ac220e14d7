"""The image that the Dockerfile starts from: the real one, or one like it where no registry is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from image.buildah import Buildah
from image.errors import CommandError, ImageError
from image.shell import require

# What python:slim has beside Debian's minimum. Pip and venv are packages of their own in Debian.
STAND_IN_PACKAGES = (
    *("ca-certificates", "netbase", "tzdata"),
    *("python3", "python3-pip", "python3-venv"),
)
# Left by debootstrap, and not in a published image: no bytecode either, as in python:slim.
LEFTOVERS = (
    *("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*", "var/log/*.log"),
    "usr/lib/python3*/**/*.pyc",
)


@dataclass(frozen=True)
class Base:
    """An image to start from; `stand_in_for` names the real one where this is not it."""

    image: str
    stand_in_for: str = ""


def bring_base(buildah: Buildah, wanted: str, tell: Callable[[str], None]) -> Base:
    """Bring the image the Dockerfile names; where it cannot be had, make one like it, once.

    Raises:
        ImageError: it cannot be had, and one like it cannot be made here.
    """
    if buildah.has(wanted):
        return Base(wanted)
    tell(f"base: asking the registry for {wanted}")
    try:
        buildah.pull(wanted)
    except CommandError as error:
        # Its last line names the cause; those before tell how often it was tried.
        tell(f"base: not there: {str(error).splitlines()[-1].strip()}")
    else:
        return Base(wanted)
    release = debian_release(wanted)
    stand_in = f"localhost/stand-in:{release}"
    if not buildah.has(stand_in):
        tell(f"base: making {stand_in} by debootstrap (once, about a minute)")
        make_stand_in(buildah, release, stand_in)
    return Base(stand_in, stand_in_for=wanted)


def debian_release(image: str) -> str:
    """Read the Debian release from an image's tag, such as python:3.13-slim-trixie.

    Raises:
        ImageError: the tag does not end in one.
    """
    found = re.search(r":[^@/]*-slim-([a-z]+)(@|$)", image)
    if not found:
        raise ImageError(
            f"{image} cannot be stood in for: its tag does not end in -slim-RELEASE of Debian."
        )
    return found[1]


def make_stand_in(buildah: Buildah, release: str, image: str) -> None:
    """Make an image of Debian with its own Python."""
    require(["debootstrap"])
    with TemporaryDirectory(dir=buildah.scratch) as folder:
        tree = Path(folder) / "root"
        packages = ",".join(STAND_IN_PACKAGES)
        buildah.shell.run(
            "debootstrap", "--variant=minbase", f"--include={packages}", release, str(tree)
        )
        for leftover in [file for pattern in LEFTOVERS for file in tree.glob(pattern)]:
            leftover.unlink()
        (tree / "etc" / "resolv.conf").write_text("")  # this machine's, until here
        buildah.import_tree(tree, image)

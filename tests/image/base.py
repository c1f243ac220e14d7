"""The Dockerfile's base image: the real one, or a stand-in without a registry."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from image.buildah import Buildah
from image.errors import CommandError, ImageError
from image.shell import require

# Packages of python:slim beyond a minimal Debian. Pip and venv are separate packages in Debian.
STAND_IN_PACKAGES = (
    *("ca-certificates", "netbase", "tzdata"),
    *("python3", "python3-pip", "python3-venv"),
)
# Files that debootstrap leaves and a published image lacks, including bytecode.
LEFTOVERS = (
    *("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*", "var/log/*.log"),
    "usr/lib/python3*/**/*.pyc",
)


@dataclass(frozen=True)
class Base:
    """A base image; `stand_in_for` names the real one if this is a stand-in."""

    image: str
    stand_in_for: str = ""


def bring_base(buildah: Buildah, wanted: str, tell: Callable[[str], None]) -> Base:
    """Return the Dockerfile's base image; if it cannot be pulled, build a stand-in once.

    Raises:
        ImageError: it can be neither pulled nor replaced by a stand-in.
    """
    if buildah.has(wanted):
        return Base(wanted)
    tell(f"base: asking the registry for {wanted}")
    try:
        buildah.pull(wanted)
    except CommandError as error:
        # Its last line has the cause; the lines before are retries.
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
    """Return the Debian release of an image's tag, such as python:3.13-slim-trixie.

    Raises:
        ImageError: the tag does not end in a release.
    """
    found = re.search(r":[^@/]*-slim-([a-z]+)(@|$)", image)
    if not found:
        raise ImageError(
            f"{image} cannot be stood in for: its tag does not end in -slim-RELEASE of Debian."
        )
    return found[1]


def make_stand_in(buildah: Buildah, release: str, image: str) -> None:
    """Build an image of Debian with Debian's Python."""
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

"""Name the image by a hash of its parts, so that a plan needs no registry."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from roost.environment.flow_folder import LOCK, FlowFolder
from roost.errors import MissingLockError

REGISTRY = "registry.fly.io"
SPEC = "image.json"
FLOWS, WAKER, REDIS = "flows", "waker", "managed_redis"
"""The folders in `deploy` with what every flow server's image has, the waker's and a Redis's."""
REDIS_TAG = "redis"
CODE = "code"
"""The folder with the user's code in a flow server's image."""
Part = tuple[str, bytes]

_OURS = re.compile(
    rf"{re.escape(REGISTRY)}/[^/:]+:(?:prefect-(\d+\.\d+\.\d+)|{WAKER}|{REDIS_TAG})-[0-9a-f]{{12}}"
)

# Docker Hub under its own names, and as Fly's API spells it (fly-go's ImageRef) and mirrors it.
_DOCKER_HUB = r"(?:(?:(?:index\.|registry-1\.)?docker\.io|docker-hub-mirror\.fly\.io)/)?"

_STOCK = re.compile(rf"{_DOCKER_HUB}prefecthq/prefect(?:[:@].*)?")

# Tags such as 3.9.1-python3.12, which may stand before a digest; 3-latest names no version.
_STOCK_VERSION = re.compile(
    rf"{_DOCKER_HUB}prefecthq/prefect:(\d+\.\d+\.\d+)(?:-[\w.-]+)?(?:@.*)?", re.ASCII
)


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def image_reference(app: str, version: str, parts: Iterable[Part], name: str = WAKER) -> str:
    """Return the full reference, in the app's own registry; see `image_tag`."""
    return f"{REGISTRY}/{app}:{image_tag(version, parts, name)}"


def image_tag(version: str, parts: Iterable[Part], name: str = WAKER) -> str:
    """Return the tag: what is in it, and the first 12 hex digits of the sha256 over all parts.

    An image without a version of Prefect begins with the name of what it is.
    """
    digest = hashlib.sha256()
    for path, content in parts:
        for piece in (path.encode(), content):
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return f"{f'prefect-{version}' if version else name}-{digest.hexdigest()[:12]}"


def is_our_image(reference: str) -> bool:
    """Return whether a reference has the form of `image_reference`, for any app."""
    return _OURS.fullmatch(reference) is not None


def version_in(reference: str) -> str:
    """Return the Prefect version in a reference of ours, or in a tag of Prefect's own; else empty."""
    match = _OURS.fullmatch(reference) or _STOCK_VERSION.fullmatch(reference)
    return (match[1] or "") if match else ""


def pinned(reference: str, image_ref: Mapping[str, object] | None) -> str:
    """Return an image with the digest that a machine runs, as its tag may move to another image.

    Args:
        reference: the image in the machine's config.
        image_ref: what Fly says about it; without a digest the reference stays as it is.
    """
    digest = str((image_ref or {}).get("digest") or "")
    if "@" in reference or is_our_image(reference) or not _DIGEST.fullmatch(digest):
        return reference
    return f"{reference}@{digest}"


def is_stock_image(reference: str) -> bool:
    """Return whether a reference names Prefect's own image, which has no server command."""
    return _STOCK.fullmatch(reference) is not None


def read_image_parts(deploy: Path, version: str, own_lock: bytes | None = None) -> tuple[Part, ...]:
    """Read every file that goes into the image of a Prefect version, in a fixed order.

    Args:
        deploy: the folder of the image.
        version: the version of Prefect.
        own_lock: what an environment with extra packages has in place of the version's lock.

    Raises:
        MissingLockError: the version has no lock; the message lists those that exist.
    """
    spec = json.loads((deploy / SPEC).read_text(encoding="utf-8"))
    lock = str(spec["lock"]).format(version=version)
    if not (deploy / lock).is_file():
        raise _missing_lock(deploy, spec["lock"], version)
    names = [SPEC, "Dockerfile", lock, *_listed(deploy, spec["files"])]
    parts = ((name, (deploy / name).read_bytes()) for name in names)
    return tuple(
        (name, own_lock if name == lock and own_lock is not None else content)
        for name, content in parts
    )


def flow_image_parts(deploy: Path, folder: FlowFolder) -> tuple[Part, ...]:
    """Return every file of a flow server's image by its path in the build context, in a fixed order.

    Args:
        deploy: the folder with Roost's part of the image in `flows`.
        folder: the user's part.
    """
    theirs = ((f"{CODE}/{name}", content) for name, content in folder.files)
    return (*_parts_in(deploy, FLOWS), (LOCK, folder.lock), *theirs)


def redis_image_parts(deploy: Path) -> tuple[Part, ...]:
    """Return every file of a Redis's image by its path in the build context, in a fixed order."""
    return _parts_in(deploy, REDIS)


def waker_image_parts(deploy: Path) -> tuple[Part, ...]:
    """Return every file of the waker's image by its path in the build context, in a fixed order."""
    return _parts_in(deploy, WAKER)


def _parts_in(deploy: Path, folder: str) -> tuple[Part, ...]:
    """Return Roost's part of an image that has a folder of its own in `deploy`."""
    base = deploy / folder
    spec = json.loads((base / SPEC).read_text(encoding="utf-8"))
    parts = [(name, (base / name).read_bytes()) for name in (SPEC, "Dockerfile")]
    for entry in spec["files"]:
        if entry != CODE:
            # What every machine needs is beside the folder, and the rest in it.
            place = base if (base / entry).exists() else deploy
            parts += [(name, (place / name).read_bytes()) for name in _listed(place, [entry])]
    return tuple(parts)


def _listed(deploy: Path, entries: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        path = deploy / entry
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            kept = (f for f in inside if "__pycache__" not in f.parts and f.suffix != ".pyc")
            yield from sorted(file.relative_to(deploy).as_posix() for file in kept)
        else:
            yield entry


def _missing_lock(deploy: Path, pattern: str, version: str) -> MissingLockError:
    before, after = pattern.split("{version}")
    known = sorted(
        path.relative_to(deploy).as_posix().removeprefix(before).removesuffix(after)
        for path in deploy.glob(f"{before}*{after}")
    )
    return MissingLockError(
        f"There is no lock for Prefect {version}, only for {', '.join(known) or 'none'}.",
        advice=f"Make one: ./run lock {version}",
    )

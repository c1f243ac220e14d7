"""Warn where a plan gives data to other code, other places, or a growing bill. Pure.

The steps show each change, but it is easy to overlook what follows: that a third-party image can read
the login, or that a server starts to copy its database to a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.plan.desired import EXTENSION_FIELDS, REPLICA_ENDPOINT, REPLICA_URL
from roost.plan.image import REGISTRY, is_our_image
from roost.plan.steps import CreateMachine, Json, Step, UpdateMachine

_IMAGE = "image"


def disclosures(steps: Iterable[Step], app: str) -> tuple[str, ...]:
    """Return a sentence, once, for each image, bucket and volume limit that steps introduce."""
    found = (sentence for step in steps for sentence in _disclosed(step, app))
    return tuple(dict.fromkeys(found))


def _disclosed(step: Step, app: str) -> Iterator[str]:
    if not isinstance(step, CreateMachine | UpdateMachine):
        return
    image = str(step.config.get(_IMAGE, ""))
    if _brings(step, _IMAGE) and not _is_of(app, image):
        yield (
            f"The image {image} is not one that Roost builds. It receives the login and every "
            "secret of this server."
        )
    yield from _extended(step)
    variables = step.config.get("env") or {}
    url, endpoint = variables.get(REPLICA_URL), variables.get(REPLICA_ENDPOINT, "Amazon S3")
    if url and any(_brings(step, f"env.{name}") for name in (REPLICA_URL, REPLICA_ENDPOINT)):
        yield f"The whole database is copied to {url} at {endpoint}."


def _extended(step: CreateMachine | UpdateMachine) -> Iterator[str]:
    """Return a sentence if Fly starts to extend the volume: it never shrinks again."""
    mount: Json = next(iter(step.config.get("mounts") or ()), {})
    percent, add, limit = (mount.get(name) for name in EXTENSION_FIELDS)
    if percent and any(_brings(step, f"mounts[0].{name}") for name in EXTENSION_FIELDS):
        yield (
            f"Fly extends the volume by {add} GB whenever {percent} % of it is used, up to {limit} "
            "GB. It never shrinks; the higher cost is that of its limit."
        )


def _brings(step: CreateMachine | UpdateMachine, field: str) -> bool:
    return isinstance(step, CreateMachine) or any(c.field == field for c in step.changes)


def _is_of(app: str, image: str) -> bool:
    """Return whether an image is in the app's own registry, with a tag that Roost makes."""
    return is_our_image(image) and image.startswith(f"{REGISTRY}/{app}:")

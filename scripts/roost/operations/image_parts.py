"""The image of an app: its reference, and the folder that it is built from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.environment.files import FlowUnit, WakerUnit
from roost.environment.flow_folder import FlowFolderError, read_flow_folder
from roost.environment.load import EnvironmentFile
from roost.errors import Fault, InvalidFilesError
from roost.operations.context import Context
from roost.plan.image import (
    Part,
    flow_image_parts,
    image_reference,
    read_image_parts,
    waker_image_parts,
)

NO_VERSION = "0"


@dataclass(frozen=True)
class ImageParts:
    """What an image is made of, and the version of Prefect in it; empty for an image without it."""

    version: str
    parts: tuple[Part, ...]


def image_for(context: Context, file: EnvironmentFile) -> str:
    """Return the image reference of an app: its own, or Roost's by the hash of its parts.

    Raises:
        MissingLockError: there is no lock for the Prefect version.
        InvalidFilesError: the folder of a flow server cannot be used.
    """
    if file.environment.prefect.image:
        return file.environment.prefect.image
    found = _parts(context, file)
    return image_reference(file.environment.app, found.version, found.parts)


@contextmanager
def build_folder(context: Context, file: EnvironmentFile) -> Iterator[tuple[Path, str]]:
    """Yield the folder to build an image from, and the version of Prefect in it.

    A server is built from the folder `deploy` itself. For what stands beside it, the parts are copied
    into a temporary folder. The builders need a version, also where nothing has one.
    """
    if file.beside is None:
        yield context.deploy, file.environment.prefect.version
        return
    found = _parts(context, file)
    with tempfile.TemporaryDirectory(prefix="roost-image-") as folder:
        for name, content in found.parts:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(folder), found.version or NO_VERSION


def _parts(context: Context, file: EnvironmentFile) -> ImageParts:
    match file.beside:
        case FlowUnit() as flow:
            return _flow_parts(context, file, flow)
        case WakerUnit():
            return ImageParts("", waker_image_parts(context.deploy))
        case None:
            version = file.environment.prefect.version
            return ImageParts(version, read_image_parts(context.deploy, version))


def _flow_parts(context: Context, file: EnvironmentFile, flow: FlowUnit) -> ImageParts:
    path = flow.entry.path
    try:
        folder = read_flow_folder(file.repository, path)
    except FlowFolderError as error:
        fault = Fault(str(file.path), 1, 1, f"the folder of {file.name}, {path}, {error}")
        raise InvalidFilesError((fault,)) from error
    return ImageParts(folder.prefect, flow_image_parts(context.deploy, folder))

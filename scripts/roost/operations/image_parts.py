"""The image of an app: its reference, and the folder that it is built from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.environment.files import FlowUnit, RedisUnit, WakerUnit
from roost.environment.flow_folder import FlowFolderError, read_flow_folder
from roost.environment.load import EnvironmentFile
from roost.environment.server_lock import ServerLockError, lock_of, read_server_lock
from roost.errors import Fault, InvalidFilesError
from roost.operations.context import Context
from roost.plan.image import (
    REDIS_TAG,
    WAKER,
    Part,
    flow_image_parts,
    image_reference,
    read_image_parts,
    redis_image_parts,
    waker_image_parts,
)

NO_VERSION = "0"


@dataclass(frozen=True)
class ImageParts:
    """What an image is made of.

    Args:
        version: the version of Prefect in it; empty for an image without it.
        parts: its files.
        name: what it is, where it has no Prefect.
    """

    version: str
    parts: tuple[Part, ...]
    name: str = WAKER


def image_for(context: Context, file: EnvironmentFile) -> str:
    """Return the image reference of an app: its own, or Roost's by the hash of its parts.

    Raises:
        MissingLockError: there is no lock for the Prefect version.
        InvalidFilesError: the folder of a flow server, or the lock of the extras, cannot be used.
    """
    if file.environment.prefect.image:
        return file.environment.prefect.image
    found = _parts(context, file)
    return image_reference(file.environment.app, found.version, found.parts, found.name)


class ImageReferences:
    """The image references of many apps: what the images of several servers share is read once.

    Args:
        context: where the parts are.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stock: dict[str, tuple[Part, ...]] = {}

    def of(self, file: EnvironmentFile) -> str:
        """Return the image reference of an app, as `image_for` does.

        Raises:
            MissingLockError: there is no lock for the Prefect version.
            InvalidFilesError: the folder of a flow server, or the lock of the extras, cannot be used.
        """
        prefect = file.environment.prefect
        if file.beside or prefect.image or prefect.extras:
            return image_for(self._context, file)
        version = prefect.version
        if version not in self._stock:
            self._stock[version] = read_image_parts(self._context.deploy, version)
        return image_reference(file.environment.app, version, self._stock[version])


@contextmanager
def build_folder(context: Context, file: EnvironmentFile) -> Iterator[tuple[Path, str]]:
    """Yield the folder to build an image from, and the version of Prefect in it.

    A server is built from the folder `deploy` itself. For what stands beside it, and for a server with
    extra packages, the parts are copied into a temporary folder. The builders need a version, also where
    nothing has one.
    """
    if file.beside is None and not file.environment.prefect.extras:
        yield context.deploy, file.environment.prefect.version
        return
    found = _parts(context, file)
    with tempfile.TemporaryDirectory(prefix="roost-image-") as folder:
        write_parts(found.parts, Path(folder))
        yield Path(folder), found.version or NO_VERSION


def write_parts(parts: Iterable[Part], folder: Path) -> None:
    """Write the parts of an image into an empty folder, to build it from there."""
    for name, content in parts:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _parts(context: Context, file: EnvironmentFile) -> ImageParts:
    match file.beside:
        case FlowUnit() as flow:
            return _flow_parts(context, file, flow)
        case WakerUnit():
            return ImageParts("", waker_image_parts(context.deploy))
        case RedisUnit():
            return ImageParts("", redis_image_parts(context.deploy), REDIS_TAG)
        case None:
            version = file.environment.prefect.version
            return ImageParts(version, read_image_parts(context.deploy, version, own_lock(file)))


def own_lock(file: EnvironmentFile) -> bytes | None:
    """Return the lock of a server with extra packages; None without extras.

    The file was loaded with it, so this fails only where the lock was removed since.

    Raises:
        InvalidFilesError: the lock cannot be read.
    """
    if not file.environment.prefect.extras:
        return None
    lock = lock_of(file.path, file.name)
    try:
        return read_server_lock(lock, file.repository)
    except ServerLockError as error:
        fault = Fault(str(file.path), 1, 1, f"the lock of the extras, {lock}, {error}")
        raise InvalidFilesError((fault,)) from error


def _flow_parts(context: Context, file: EnvironmentFile, flow: FlowUnit) -> ImageParts:
    path = flow.entry.path
    try:
        folder = read_flow_folder(file.repository, path)
    except FlowFolderError as error:
        fault = Fault(str(file.path), 1, 1, f"the folder of {file.name}, {path}, {error}")
        raise InvalidFilesError((fault,)) from error
    return ImageParts(folder.prefect, flow_image_parts(context.deploy, folder))

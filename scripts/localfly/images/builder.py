"""Build images from a lock, files and a command, and name them by a hash of these parts.

Where Fly boots a container image, the local Fly runs the same parts from two folders: an
environment installed from the lock, shared by all images with that lock, and the image's files.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localfly.errors import ImageBuildError, ImageSpecError
from localfly.images.cache import Cache
from localfly.images.commands import run_command
from localfly.images.spec import digest, read_files, read_lock, read_spec
from localfly.images.venvs import make_venv, venv_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import PurePosixPath

    from localfly.images.spec import ImageSpec

_REFS = "refs.json"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    """A built image: the read-only root `folder` (IMAGE_ROOT) and `bin`, which has `python`."""

    ref: str
    digest: str
    folder: Path
    bin: Path
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@dataclass(frozen=True)
class Build:
    """The result of a build: the image, and whether it was in the cache."""

    image: Image
    cached: bool


@dataclass(frozen=True)
class _Parts:
    """The parts of an image, read once, so that the build uses the bytes that were hashed."""

    spec: ImageSpec
    lock: bytes | None
    files: Sequence[tuple[PurePosixPath, bytes]]

    @property
    def venv(self) -> str:
        return venv_key(self.lock)

    @property
    def digest(self) -> str:
        spec = json.dumps(asdict(self.spec), default=str, sort_keys=True).encode()
        files = [part for path, content in self.files for part in (str(path).encode(), content)]
        return digest([spec, self.venv.encode(), *files])


class Images:
    """Builds images into a cache folder, and looks them up by reference."""

    def __init__(self, cache: Path) -> None:
        self._cache = Cache(cache.absolute())

    async def build(
        self,
        context: Path,
        version: str,
        ref: str,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Build:
        """Build the parts in `context` and point `ref` to the result.

        Args:
            context: The folder with image.json.
            version: Replaces `{version}` in the lock's name.
            ref: The reference in machine configs, such as registry.fly.io/APP:TAG.
            progress: Called with each line of output.

        Raises:
            ImageSpecError: image.json or a part that it names is invalid; nothing was built.
            ImageBuildError: The installation or the bake command failed; nothing of it is kept.
            UvMissingError: uv is not installed.
        """
        parts = await asyncio.to_thread(_read_parts, context, version)
        venv, _ = await self._cache.get(
            "venvs", parts.venv, lambda folder: _install(folder, parts, progress)
        )
        folder, cached = await self._cache.get(
            "images", parts.digest[:24], lambda folder: _fill(folder, venv, parts, progress)
        )
        image = _image(ref, folder, venv, parts)
        await self._remember(image)
        return Build(image, cached)

    def lookup(self, ref: str) -> Image | None:
        """Return the image of a reference; None if it is not built or not complete.

        A reference may name a digest: NAME:TAG@DIGEST or NAME@DIGEST, where the digest decides.
        """
        name, _, wanted = ref.partition("@")
        refs = self._cache.read(_REFS)
        record = _by_digest(refs, name, wanted) if wanted else refs.get(ref)
        image = _from_record(ref, record) if record else None
        return image if image and image.folder.is_dir() and image.bin.is_dir() else None

    def list(self) -> list[Image]:
        """Return every image that can be run, sorted by reference."""
        found = (self.lookup(ref) for ref in sorted(self._cache.read(_REFS)))
        return [image for image in found if image]

    async def _remember(self, image: Image) -> None:
        """Store the reference; other builders' references are kept."""
        async with self._cache.lock(_REFS):
            refs = self._cache.read(_REFS)
            self._cache.write(_REFS, refs | {image.ref: _to_record(image)})


def _by_digest(
    refs: Mapping[str, Mapping[str, Any]], name: str, digest: str
) -> Mapping[str, Any] | None:
    """Return the record of a repository's image with a digest, as a registry finds it."""
    repository = _repository(name)
    found = (r for ref, r in refs.items() if _repository(ref) == repository)
    return next((record for record in found if record["digest"] == digest), None)


def _repository(name: str) -> str:
    """Return a reference without its tag; a colon before a slash belongs to the registry."""
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _read_parts(context: Path, version: str) -> _Parts:
    spec = read_spec(context, version)
    try:
        return _Parts(spec, read_lock(context, spec), read_files(context, spec))
    except OSError as error:
        raise ImageSpecError(f"A part of the image cannot be read: {error}.") from error


async def _install(folder: Path, parts: _Parts, progress: Callable[[str], None]) -> None:
    """Install the environment from the bytes that were hashed, even if the file changed since."""
    if parts.lock is None:
        await make_venv(folder, None, progress)
        return
    progress(f"installing {parts.spec.lock}")
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "requirements.txt"
        lock.write_bytes(parts.lock)
        await make_venv(folder, lock, progress)


async def _fill(folder: Path, venv: Path, parts: _Parts, progress: Callable[[str], None]) -> None:
    """Write the files, compile them, and run the bake command."""
    await asyncio.to_thread(_copy, folder, parts.files)
    python = str(venv / "bin" / "python")
    with tempfile.TemporaryDirectory() as scratch:
        env = {
            "PATH": f"{venv / 'bin'}:{_SYSTEM_PATH}",
            "HOME": scratch,
            "TMPDIR": scratch,
            "LANG": "C.UTF-8",
            **parts.spec.env,
            "IMAGE_ROOT": str(folder),
        }
        compiled = [str(name) for name in parts.spec.files if name not in parts.spec.foreign]
        compile_files = [python, "-m", "compileall", "-q"]
        if compiled:
            await run_command([*compile_files, *compiled], cwd=folder, env=env, progress=progress)
        try:
            if foreign := [str(name) for name in parts.spec.foreign]:
                await run_command(
                    [*compile_files, *foreign], cwd=folder, env=env, progress=progress
                )
        except ImageBuildError:
            # A template may be named .py; whether the program itself works is seen when it runs.
            progress("the files above do not compile; they are in the image as they are")
        if parts.spec.bake:
            progress(f"baking: {' '.join(parts.spec.bake)}")
            await run_command(parts.spec.bake, cwd=folder, env=env, progress=progress)


def _copy(folder: Path, files: Sequence[tuple[PurePosixPath, bytes]]) -> None:
    folder.mkdir(parents=True)
    for path, content in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _image(ref: str, folder: Path, venv: Path, parts: _Parts) -> Image:
    return Image(
        ref=ref,
        digest=f"sha256:{parts.digest}",
        folder=folder,
        bin=venv / "bin",
        command=parts.spec.command,
        env=dict(parts.spec.env),
        port=parts.spec.port,
    )


def _to_record(image: Image) -> dict[str, Any]:
    return {
        "digest": image.digest,
        "folder": str(image.folder),
        "bin": str(image.bin),
        "command": list(image.command),
        "env": dict(image.env),
        "port": image.port,
    }


def _from_record(ref: str, record: Mapping[str, Any]) -> Image:
    return Image(
        ref=ref,
        digest=record["digest"],
        folder=Path(record["folder"]),
        bin=Path(record["bin"]),
        command=tuple(record["command"]),
        env=record["env"],
        port=record["port"],
    )

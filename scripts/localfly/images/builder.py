"""Images: a lock, files and a command, built once and named by what they are made of.

Where Fly boots a container image, the local Fly runs the same parts from two folders: an
environment installed from the lock, shared by all images with that lock, and the image's own files.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localfly.errors import ImageSpecError
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
    """A built image. `folder` is its root (IMAGE_ROOT), `bin` holds its `python`; never write there."""

    ref: str
    digest: str
    folder: Path
    bin: Path
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@dataclass(frozen=True)
class Build:
    """What building came to: the image, and whether it stood ready."""

    image: Image
    cached: bool


@dataclass(frozen=True)
class _Parts:
    """Everything an image is made of, read once, so that what is hashed is what is built."""

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
    """Builds images into a cache folder and finds them again by reference."""

    def __init__(self, cache: Path) -> None:
        self._cache = Cache(cache.absolute())

    async def build(
        self,
        context: Path,
        version: str,
        ref: str,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Build:
        """Build the parts in `context` and let `ref` stand for the result.

        Args:
            context: The folder that has image.json.
            version: Put for `{version}` in the lock's name.
            ref: The reference machines will name, such as registry.fly.io/APP:TAG.
            progress: Told what happens, line by line.

        Raises:
            ImageSpecError: image.json or a part it names is not right; nothing was built.
            ImageBuildError: Installing or baking failed; nothing is left of it.
            UvMissingError: There is no uv.
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
        """Find the image a reference stands for; None when it is not built, or not whole."""
        record = self._cache.read(_REFS).get(ref)
        image = _from_record(ref, record) if record else None
        return image if image and image.folder.is_dir() and image.bin.is_dir() else None

    def list(self) -> list[Image]:
        """List every image that can be run, by reference."""
        found = (self.lookup(ref) for ref in sorted(self._cache.read(_REFS)))
        return [image for image in found if image]

    async def _remember(self, image: Image) -> None:
        """Let the reference stand for the image, beside what other builders remember."""
        async with self._cache.lock(_REFS):
            refs = self._cache.read(_REFS)
            self._cache.write(_REFS, refs | {image.ref: _to_record(image)})


def _read_parts(context: Path, version: str) -> _Parts:
    spec = read_spec(context, version)
    try:
        return _Parts(spec, read_lock(context, spec), read_files(context, spec))
    except OSError as error:
        raise ImageSpecError(f"A part of the image cannot be read: {error}.") from error


async def _install(folder: Path, parts: _Parts, progress: Callable[[str], None]) -> None:
    """Make the environment from the bytes that were hashed, whatever the file says by now."""
    if parts.lock is None:
        await make_venv(folder, None, progress)
        return
    progress(f"installing {parts.spec.lock}")
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "requirements.txt"
        lock.write_bytes(parts.lock)
        await make_venv(folder, lock, progress)


async def _fill(folder: Path, venv: Path, parts: _Parts, progress: Callable[[str], None]) -> None:
    """Lay the files out, compile them, and bake what is dear to make at each start."""
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
        compile_all = [python, "-m", "compileall", "-q", "."]
        await run_command(compile_all, cwd=folder, env=env, progress=progress)
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

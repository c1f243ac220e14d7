"""Read image.json strictly, and the parts that it names."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from localfly.errors import ImageSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_KEYS = {"lock", "files", "foreign", "bake", "command", "env", "port"}
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]*")
_LAST_PORT = 65535


@dataclass(frozen=True)
class ImageSpec:
    """The content of image.json, for one version.

    Attributes:
        command: The command of a machine, run in the image's folder.
        lock: The requirements file with hashes, or None for Python alone.
        files: Files and folders that are copied into the image, under the same path.
        foreign: Those of the files that need not compile, such as code of somebody else.
        bake: A command that is run once at build time, for work that would slow down each start.
        env: The variables of every machine with the image.
        port: The port that the command listens on, for information.
    """

    command: tuple[str, ...]
    lock: PurePosixPath | None = None
    files: tuple[PurePosixPath, ...] = ()
    foreign: tuple[PurePosixPath, ...] = ()
    bake: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


def read_spec(context: Path, version: str) -> ImageSpec:
    """Return the content of a folder's image.json.

    Raises:
        ImageSpecError: It is missing, not a JSON object, or has an unknown key or value.
    """
    if not _VERSION.fullmatch(version):
        raise ImageSpecError(f"{version!r} is not a version.", advice="Write it as 1.2.3.")
    return parse_spec(_read_object(context / "image.json"), version)


def parse_spec(document: Mapping[str, Any], version: str) -> ImageSpec:
    """Return the spec of a document; unknown keys are refused."""
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise ImageSpecError(
            f"image.json has unknown keys: {', '.join(unknown)}.",
            advice=f"The known keys are {', '.join(sorted(_KEYS))}.",
        )
    command = _strings(document, "command")
    if not command:
        raise ImageSpecError("image.json has no command.", advice='Add "command": [...].')
    files = tuple(_inside(name) for name in _strings(document, "files"))
    foreign = tuple(_inside(name) for name in _strings(document, "foreign"))
    if unlisted := sorted(str(name) for name in set(foreign) - set(files)):
        raise ImageSpecError(
            f"image.json names {', '.join(unlisted)} in foreign and not in files.",
            advice="Name it in both.",
        )
    return ImageSpec(
        command=command,
        lock=_lock(document.get("lock"), version),
        files=files,
        foreign=foreign,
        bake=_strings(document, "bake"),
        env=_env(document.get("env") or {}),
        port=_port(document.get("port")),
    )


def read_lock(context: Path, spec: ImageSpec) -> bytes | None:
    """Return the lock's bytes, or None without one; an error lists the locks that exist."""
    if spec.lock is None:
        return None
    path = context / spec.lock
    try:
        return path.read_bytes()
    except OSError as error:
        others = sorted(p.name for p in path.parent.glob("*.txt"))
        raise ImageSpecError(
            f"There is no lock {spec.lock}.",
            advice=f"Locks that exist: {', '.join(others) or 'none'}.",
        ) from error


def read_files(context: Path, spec: ImageSpec) -> list[tuple[PurePosixPath, bytes]]:
    """Return the image's files with their content, sorted by path."""
    paths = {path for name in spec.files for path in _expand(context, name)}
    return [(path, (context / path).read_bytes()) for path in sorted(paths)]


def digest(parts: Iterable[bytes]) -> str:
    """Return a sha256 of parts, each preceded by its length."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ImageSpecError(
            f"There is no {path}.", advice="Name a folder that has one."
        ) from error
    except (OSError, ValueError) as error:
        raise ImageSpecError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(document, dict):
        raise ImageSpecError(f"{path} is not a JSON object.")
    return document


def _expand(context: Path, name: PurePosixPath) -> Iterator[PurePosixPath]:
    """Return the files of a name, without compiled Python."""
    path = context / name
    if path.is_file():
        yield name
    elif path.is_dir():
        for child in path.rglob("*"):
            relative = PurePosixPath(child.relative_to(context).as_posix())
            if child.is_file() and "__pycache__" not in relative.parts and child.suffix != ".pyc":
                yield relative
    else:
        raise ImageSpecError(f"image.json names {name}, which does not exist.")


def _inside(name: str) -> PurePosixPath:
    """Return a path after checking that it stays inside its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ImageSpecError(
            f"image.json names {name!r}, which is outside its folder.",
            advice="Use paths relative to image.json, without `..`.",
        )
    return path


def _lock(value: object, version: str) -> PurePosixPath | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ImageSpecError('"lock" in image.json is neither a path nor null.')
    return _inside(value.replace("{version}", version))


def _strings(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ImageSpecError(f'"{key}" in image.json is not a list of strings.')
    return tuple(value)


def _env(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ImageSpecError('"env" in image.json is not an object of strings.')
    return dict(value)


def _port(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LAST_PORT:
        return value
    raise ImageSpecError('"port" in image.json is not a port number.')

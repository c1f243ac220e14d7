"""Small wheels, and a folder of them that takes the place of the package index."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

ANY, WINDOWS = "py3-none-any", "py3-none-win_amd64"


def write_wheel(folder: Path, name: str, version: str, *requires: str, platform: str = ANY) -> Path:
    """Write a wheel without a module."""
    stem = name.replace("-", "_")
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    info = f"{stem}-{version}.dist-info"
    path = folder / f"{stem}-{version}-{platform}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        wheel.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {platform}\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_source(folder: Path, name: str, version: str) -> Path:
    """Write a package that would have to be built."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return path


def pin(wheel: Path) -> str:
    """Return the lines of a lock for a wheel."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n"

"""Folders of flow servers: a good one, with a lock that names Prefect and has hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LOCK = "prefect=={version} \\\n    --hash=sha256:" + "0" * 64 + "\n"
NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "path": "flows/nightly",
    "command": ["python", "serve_flows.py"],
}


def write_flow_folder(
    repository: Path,
    path: str = "flows/nightly",
    *,
    version: str = "3.8.8",
    code: str = "print()\n",
) -> Path:
    """Write a folder with a lock of a Prefect version and a script."""
    folder = repository / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(LOCK.format(version=version))
    (folder / "serve_flows.py").write_text(code)
    return folder

"""The staged folder of a flow server's image, as the tool assembles it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLE = ROOT / "examples" / "flows" / "nightly"


def stage_flow_server(folder: Path, code: Path = EXAMPLE) -> Path:
    """Copy the parts of an image into a folder and return it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(DEPLOY / "flows", folder, ignore=ignored)
    shutil.copytree(DEPLOY / "roost_machine", folder / "roost_machine", ignore=ignored)
    shutil.copytree(code, folder / "code", ignore=ignored)
    shutil.copy(code / "requirements.txt", folder / "requirements.txt")
    return folder

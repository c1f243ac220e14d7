"""Check at build time that the image can run flows."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from roost_flows.errors import ImageError
from roost_flows.versions import client_version
from roost_machine.log import log


def bake(environ: MutableMapping[str, str]) -> int:
    """Import Prefect and the canary from the lock's packages; return the exit code."""
    try:
        version = client_version()
        _check_code(Path(environ.get("IMAGE_ROOT", "/opt/roost")))
        with tempfile.TemporaryDirectory() as home:
            environ["PREFECT_HOME"] = home
            importlib.import_module("roost_flows.canary")
    except (ImageError, ImportError) as error:
        print(f"roost: the image cannot run flows: {error}", file=sys.stderr)
        return 1
    log(f"flows run with Prefect {version}")
    return 0


def _check_code(image_root: Path) -> None:
    if not (image_root / "code").is_dir():
        raise ImageError("the image has no folder code/. Name an existing folder in `path`")

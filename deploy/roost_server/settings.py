"""Settings that follow from where the server runs, put into the environment before Prefect reads it."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

BAKED = "baked"


def baked_folder(environ: MutableMapping[str, str]) -> Path:
    """Give the folder of the image that was prepared when it was built."""
    return Path(environ.get("IMAGE_ROOT", "/opt/roost")) / BAKED


def apply_settings(environ: MutableMapping[str, str]) -> None:
    """Point Prefect at what the image has baked; what a user set stays as it is."""
    ui = baked_folder(environ) / "ui"
    environ.setdefault("PREFECT_SERVER_UI_STATIC_DIRECTORY", str(ui))
    environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

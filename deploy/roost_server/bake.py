"""Prepare the image once, so that no start pays for it: the UI's files in their place."""

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping

from roost_server.settings import baked_folder


def bake(environ: MutableMapping[str, str]) -> int:
    """Make Prefect's application once; it copies its UI to where the settings say."""
    baked_folder(environ).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environ["PREFECT_HOME"] = home
        from prefect.server.api.server import create_app

        create_app()
    return 0

"""The command line of `./run clients [--smallest]`: print the table of docs/prefect.md."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from clients.measure import CLIENTS, Kept, make_client, measure
from helpers.prefect_process import PrefectProcess
from helpers.prefect_versions import NEWEST, OLDER
from localfly.images.builder import Image, Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"


def main(arguments: Sequence[str]) -> int:
    """Run each client's flow on each server; exit with 1 if the server's own client loses data.

    `--smallest` runs only the newest server with its own client.
    """
    smallest = "--smallest" in arguments
    # A killed server may leave temporary files that vanish meanwhile.
    with TemporaryDirectory(prefix="roost-clients-", ignore_cleanup_errors=True) as name:
        folder = Path(os.environ.get("ROOST_CLIENTS") or name)
        clients = {} if smallest else make_clients(folder)
        found: list[Kept] = []
        for version in (NEWEST,) if smallest else (OLDER, NEWEST):
            image = build(version)
            chosen = clients or {version: image.bin / "python"}
            with PrefectProcess(image, Path(name) / f"server-{version}") as server:
                for kept in measure(server, version, chosen):
                    show(kept)
                    found.append(kept)
    return 0 if all(kept.is_whole for kept in found if kept.client == kept.server) else 1


def make_clients(folder: Path) -> dict[str, Path]:
    """Install every client of the table; return its Python."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    return {version: make_client(folder, version, uv) for version in CLIENTS}


def build(version: str) -> Image:
    """Build the image of a locked Prefect or take it from the cache."""
    ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
    images = Images(Path(os.environ["LOCALFLY_CACHE"]))
    return asyncio.run(images.build(DEPLOY, version, ref)).image


def show(kept: Kept) -> None:
    """Print one line of the table."""
    whole = "works" if kept.is_whole else "loses"
    line = f"client {kept.client} server {kept.server}: {whole} {kept.state or 'no run'}"
    said = f"{line}, {kept.task_runs} task runs, {kept.events} events {kept.said}"
    sys.stdout.write(f"{said.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

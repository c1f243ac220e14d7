"""`./run clients`: print which clients work with which servers, as `docs/prefect.md` has it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from clients.measure import CLIENTS, Kept, make_client, measure
from helpers.prefect_process import PrefectProcess
from helpers.prefect_versions import NEWEST, OLDER
from localfly.images import Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"


def main() -> None:
    """Install the clients, then start each server once and have each client run its flow."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    cache = Path(os.environ["LOCALFLY_CACHE"])
    # A server that was killed may leave files behind that come and go.
    with TemporaryDirectory(prefix="roost-clients-", ignore_cleanup_errors=True) as name:
        folder = Path(os.environ.get("ROOST_CLIENTS") or name)
        clients = {version: make_client(folder, version, uv) for version in CLIENTS}
        for version in (OLDER, NEWEST):
            ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
            image = asyncio.run(Images(cache).build(DEPLOY, version, ref)).image
            with PrefectProcess(image, Path(name) / f"server-{version}") as server:
                for kept in measure(server, version, clients):
                    show(kept)


def show(kept: Kept) -> None:
    """Print one line of the table."""
    whole = "works" if kept.is_whole else "loses"
    line = f"client {kept.client} server {kept.server}: {whole} {kept.state or 'no run'}"
    said = f"{line}, {kept.task_runs} task runs, {kept.events} events {kept.said}"
    sys.stdout.write(f"{said.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

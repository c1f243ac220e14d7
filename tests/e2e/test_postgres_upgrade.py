"""The newest Prefect takes over the Postgres database of the older one, with its own migrations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helpers.postgres import find_programs, postgres_server
from helpers.prefect_process import PrefectProcess
from helpers.prefect_versions import NEWEST, OLDER
from localfly.images.builder import Images
from roost.plan.image import image_reference, read_image_parts

DEPLOY = Path(__file__).parents[2] / "deploy"
PROGRAMS = find_programs()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
]


def test_the_newest_prefect_reads_what_the_older_one_wrote(tmp_path, image_cache):
    def server(version, url):
        ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
        image = asyncio.run(Images(image_cache).build(DEPLOY, version, ref)).image
        settings = {"ROOST_DATABASE_URL_VARIABLE": "DATABASE_URL", "DATABASE_URL": url}
        return PrefectProcess(image, tmp_path / version, **settings)

    with postgres_server(PROGRAMS) as database:
        with server(OLDER, database.url) as older, older.http() as http:
            assert http.get("/admin/version").json() == OLDER
            flow = http.post("/flows/", json={"name": "kept"}).json()["id"]
            wanted = {"flow_id": flow, "state": {"type": "SCHEDULED"}}
            run = http.post("/flow_runs/", json=wanted).json()["id"]
            older.stop()
        with server(NEWEST, database.url) as newest, newest.http() as http:
            assert http.get("/admin/version").json() == NEWEST
            assert http.get(f"/flow_runs/{run}").json()["state"]["type"] == "SCHEDULED"
            moved = http.post(
                f"/flow_runs/{run}/set_state", json={"state": {"type": "PENDING"}}
            ).json()
            assert moved["status"] == "ACCEPT"

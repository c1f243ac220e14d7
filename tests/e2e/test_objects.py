"""Prefect's own objects on real servers of both versions, as examples/objects.yaml has them."""

from __future__ import annotations

import asyncio
import copy
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import anyio
import pytest

from helpers.prefect_process import LOGIN, PrefectProcess
from helpers.prefect_versions import NEWEST, OLDER
from helpers.waiting import until
from localfly.images.builder import Images
from roost.apply.objects import ObjectsServer, find_differences, reconcile
from roost.environment.objects_file import read_objects_file
from roost.environment.prefect_objects import PrefectObject
from roost.plan.image import image_reference, read_image_parts
from roost.plan.objects_record import ObjectsRecord, decode
from roost.plan.steps import ReconcileObjects
from roost.secret_text import SecretText

from .conftest import DEPLOY

pytestmark = pytest.mark.slow

ROOT = DEPLOY.parent
VALUE = "https://hooks.slack.com/services/T0/B0/hunter2"
ZOMBIES = "Crash zombie runs"


@pytest.fixture(scope="module", params=[OLDER, NEWEST])
def prefect(request, image_cache, tmp_path_factory):
    """A server of one version."""
    version = request.param
    ref = image_reference("acme-prefect", version, read_image_parts(DEPLOY, version))
    image = asyncio.run(Images(image_cache).build(DEPLOY, version, ref)).image
    with PrefectProcess(image, tmp_path_factory.mktemp("objects")) as found:
        yield found


def example():
    """Return the entries of the example."""
    return read_objects_file(ROOT, "examples/objects.yaml", ["SLACK_URL"]).objects


def step(entries, removed=()):
    """Return the step for these entries."""
    by_section = {}
    for entry in entries:
        by_section.setdefault(entry.section, []).append(entry.body)
    return ReconcileObjects(
        key="k", summary="s", path="examples/objects.yaml", objects=by_section, removed=removed
    )


class Site:
    """One server, and the record of what was applied to it."""

    def __init__(self, prefect):
        async def url():
            return prefect.url

        self.server = ObjectsServer(url, SecretText(LOGIN), {"SLACK_URL": SecretText(VALUE)})
        self.record, self.lines = ObjectsRecord(), []

    def apply(self, *entries, removed=()):
        """Reconcile, and keep the record as metadata would."""
        self.lines = []

        async def no_claims(_keys):
            """Keep nothing: this apply is not killed."""

        wanted = step(entries, removed)
        found = anyio.run(reconcile, self.server, wanted, self.record, self.lines.append, no_claims)
        self.record = decode(found.record.encoded())
        return found

    def drift(self, *entries):
        """Return the names of the fields that differ."""
        found = anyio.run(find_differences, self.server, entries, self.record)
        assert "hunter2" not in repr(found)
        return [change.field for change in found]


def with_body(entry, **fields):
    """Return an entry with fields of its body changed."""
    return replace(entry, body={**copy.deepcopy(entry.body), **fields})


def test_the_example_is_created_kept_changed_healed_and_removed(prefect):
    site, entries = Site(prefect), example()
    by_key = {entry.key: entry for entry in entries}

    assert site.apply(*entries).failed == {}
    assert len(site.lines) == len(entries)
    again = site.apply(*entries)
    assert (again.failed, again.done, site.drift(*entries)) == ({}, 0, [])

    with prefect.http() as http:
        assert http.get("/concurrency_limits/tag/database").json()["concurrency_limit"] == 4
        hook = http.get("/block_types/slug/slack-webhook/block_documents/name/ops").json()
        http.patch("/work_pools/etl", json={"concurrency_limit": 9}).raise_for_status()
        other = {"data": {"url": "https://other.example/hunter2"}}
        http.patch(f"/block_documents/{hook['id']}", json=other).raise_for_status()
        http.delete("/variables/name/region").raise_for_status()
    assert site.drift(*entries) == [
        "variables/region",
        "blocks/slack-webhook/ops.data.url",
        "work_pools/etl.concurrency_limit",
    ]
    assert site.apply(*entries).done == 3
    assert site.drift(*entries) == []
    with prefect.http() as http:
        whole = {"include_secrets": True}
        found = http.get(f"/block_documents/{hook['id']}", params=whole).json()
    assert found["data"]["url"] == VALUE

    bad = with_body(by_key["work_pools/etl"], concurrency_limit=-1)
    pasted = PrefectObject("blocks", {"name": "x", "type": "slack-webhook", "data": {"url": VALUE}})
    refused = site.apply(bad, pasted)
    assert (
        "concurrency_limit: Input should be greater than or equal to 0" in refused.failed[bad.key]
    )
    assert "Prefect keeps this field secret" in refused.failed[pasted.key]
    assert "hunter2" not in repr(refused)

    removed = site.apply(removed=tuple(sorted(by_key)))
    assert (removed.failed, removed.record) == ({}, ObjectsRecord())
    assert site.drift(*entries) == list(by_key)


def test_a_run_whose_heartbeats_stop_is_crashed_by_the_example(prefect):
    site = Site(prefect)
    [zombies] = [entry for entry in example() if entry.name == ZOMBIES]
    # Ten minutes, but for a test: ten seconds is the shortest that Prefect takes.
    assert (
        site.apply(with_body(zombies, trigger={**zombies.body["trigger"], "within": 10})).done == 1
    )
    with prefect.http() as http:
        flow = http.post("/flows/", json={"name": "zombie"}).json()
        pending = {"flow_id": flow["id"], "state": {"type": "PENDING"}}
        run = http.post("/flow_runs/", json=pending).json()["id"]
        running = {"state": {"type": "RUNNING"}}
        http.post(f"/flow_runs/{run}/set_state", json=running).raise_for_status()
        heartbeat = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        }
        http.post("/events", json=[heartbeat]).raise_for_status()

        state = until(lambda: _ended(http.get(f"/flow_runs/{run}").json()))

    assert state["message"] == "No heartbeat for 10 minutes."


def _ended(run):
    """Return the state of a run that crashed."""
    return run["state"] if run["state"]["type"] == "CRASHED" else None

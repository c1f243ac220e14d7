"""A host that dies: what is on it is named, is reached by nobody, and is there again with it."""

from __future__ import annotations

import pytest

from helpers.local_daemon import tiny_config
from helpers.waiting import until

SEED = 7  # of the first six hosts only the first dies


@pytest.fixture
def daemon(own_daemon):
    """A daemon whose weather changes with a restart."""
    return own_daemon


def storm(daemon, path, **keys):
    """Start the daemon again in a weather in which the first host is dead."""
    lines = {"seed": SEED, "hosts_die": 0.5, **keys}
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    daemon.stop()
    daemon.start("--weather", str(path))


def with_volume(daemon, app, volume):
    """Create a machine on a volume, and return its id."""
    config = tiny_config(mounts=[{"volume": volume, "path": "/data"}], env={"DATA": "/data"})
    return daemon.new_machine(app, config=config)["id"]


@pytest.fixture
def placed(daemon):
    """An app, its machine and volume with a snapshot on the first host, and a volume on the second."""
    app = daemon.new_app("placed")
    first, second = (
        daemon.call("POST", f"{app}/volumes", {"name": name, "region": "iad", "size_gb": 1})["id"]
        for name in ("first", "second")
    )
    machine = with_volume(daemon, app, first)
    daemon.ask(app, "/write?kept")
    daemon.call("POST", f"{app}/volumes/{first}/snapshots")
    [snapshot] = until(
        lambda: [
            one
            for one in daemon.call("GET", f"{app}/volumes/{first}/snapshots")
            if one["status"] == "created"
        ]
    )
    return app, machine, first, second, snapshot["id"]


def test_what_is_on_a_dead_host_is_named_and_not_reached(daemon, placed, tmp_path):
    app, machine, first, second, _ = placed
    storm(daemon, tmp_path / "w.yaml")

    shown = daemon.call("GET", f"{app}/machines/{machine}")
    [listed] = daemon.call("GET", f"{app}/machines")
    volumes = {v["id"]: v["host_status"] for v in daemon.call("GET", f"{app}/volumes")}

    assert shown["config"] is None
    assert shown["incomplete_config"]["mounts"][0]["volume"] == first
    assert shown["host_status"] == listed["host_status"] == "unreachable"
    assert volumes == {first: "unreachable", second: "ok"}
    for path in ("start", "stop", "suspend", "lease", "exec", "metadata/a"):
        refused = daemon.call("POST", f"{app}/machines/{machine}/{path}", expect=503)
        assert f"the host of machine {machine} does not answer" in refused["error"]
    daemon.call("POST", f"{app}/volumes/{first}/snapshots", expect=503)
    daemon.call("PUT", f"{app}/volumes/{first}/extend", {"size_gb": 9}, expect=503)
    fork = {"name": "fork", "source_volume_id": first}
    daemon.call("POST", f"{app}/volumes", fork, expect=503)
    daemon.call("GET", f"{app}/machines/{machine}/ps", expect=503)
    daemon.call("GET", f"{app}/machines/{machine}/events")


def test_a_snapshot_of_a_dead_host_is_restored_on_another_one(daemon, placed, tmp_path):
    app, machine, first, _, snapshot = placed
    storm(daemon, tmp_path / "w.yaml")

    daemon.call("DELETE", f"{app}/machines/{machine}?force=true")
    body = {"config": tiny_config(mounts=[{"volume": first, "path": "/data"}]), "region": "iad"}
    refused = daemon.call("POST", f"{app}/machines", body, expect=412)
    wanted = {"name": "new", "region": "iad", "snapshot_id": snapshot}
    volume = daemon.call("POST", f"{app}/volumes", wanted)["id"]
    with_volume(daemon, app, volume)

    assert "insufficient resources to create new machine with existing volume" in refused["error"]
    assert daemon.ask(app, "/read") == {"note": "kept"}


def test_a_request_to_a_machine_on_a_dead_host_is_a_503_until_the_host_is_back(
    daemon, placed, tmp_path
):
    app, machine, *_ = placed
    storm(daemon, tmp_path / "w.yaml")

    refused = daemon.proxied(app, "/read")
    storm(daemon, tmp_path / "w.yaml", host_back_after_s=0.001)
    until(lambda: daemon.machine(app, machine)["host_status"] == "ok")

    assert refused.status_code == 503
    assert "unreachable" in refused.text
    assert daemon.ask(app, "/read") == {"note": "kept"}

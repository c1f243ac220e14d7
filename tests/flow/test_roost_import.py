"""An app that was made without Roost: imported, planned, adopted by an apply with its data, exported."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
import uuid

import httpx
import pytest
import yaml

from helpers.fake_prefect import LOGIN
from helpers.small_server import EXITS, OTHER, SMALL, SMALL_PREFECT, TROUBLE
from helpers.waiting import LIMIT_S
from roost.environment.model import AUTH_SECRET
from roost.plan.adoption import reason_of
from roost.plan.desired import ENVIRONMENT_KEY

ENV = "taken"
VERSION = ("--prefect-version", SMALL_PREFECT)
CHECK = {"type": "http", "path": "/api/health", "interval": "30s", "timeout": "5s"}
SERVICE = {
    "protocol": "tcp",
    "internal_port": 8080,
    "autostop": "stop",
    "autostart": True,
    "min_machines_running": 0,
    "ports": [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 443, "handlers": ["http", "tls"]},
    ],
    "concurrency": {"type": "requests", "soft_limit": 20, "hard_limit": 25},
    "checks": [{**CHECK, "method": "GET", "grace_period": "10s"}],
}


@pytest.fixture
def by_flyctl(site):
    """An app with a server, its volume and its secrets, made by the calls that flyctl makes."""
    site.daemon.new_app(site.name)
    for kind in ("v6", "shared_v4"):
        site.daemon.call("POST", f"{site.app}/ip_assignments", {"type": kind})
    fields = {"name": "prefect_data", "region": "iad", "size_gb": 1}
    volume = site.daemon.call("POST", f"{site.app}/volumes", fields)["id"]
    values = {AUTH_SECRET: LOGIN, "MODAL_TOKEN_ID": "not-known-here"}
    site.daemon.call("POST", f"{site.app}/secrets", {"values": values})
    config = {
        "image": SMALL,
        "env": {
            "PREFECT_SERVER_API_HOST": "0.0.0.0",
            "PREFECT_SERVER_API_PORT": "8080",
            "PREFECT_HOME": "/mnt/prefect",
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "TZ": "Europe/Berlin",
            "FLY_PROCESS_GROUP": "app",
            "PRIMARY_REGION": "iad",
        },
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "mounts": [{"volume": volume, "path": "/mnt/prefect", "name": "prefect_data"}],
        "metadata": {
            "fly_platform_version": "v2",
            "fly_process_group": "app",
            "fly_release_version": "7",
        },
        "services": [SERVICE],
    }
    made = site.daemon.new_machine(site.app, name="quiet-moon-123", config=config)
    (site.roost.environments / "demo.yaml").unlink()
    return made["id"], volume


def http(site):
    port = site.daemon.client.get("/localfly/status").json()["apps"][site.name]["port"]
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        auth=tuple(LOGIN.split(":")),
        trust_env=False,
        timeout=LIMIT_S,
        transport=httpx.HTTPTransport(retries=5),
    )


def save_a_run(site):
    with http(site) as client:
        answer = client.post("/api/flow_runs/", json={"name": str(uuid.uuid4())})
        return answer.raise_for_status().json()["id"]


def kept(site):
    with http(site) as client:
        return client.get("/kept").text.split()


def imported(site):
    return site.roost.run("import", site.name, "--local", "--name", ENV, *VERSION)


def digest_of(site):
    """Return the digest of the image that the app's only machine runs."""
    [machine] = site.list("machines")
    return machine["image_ref"]["digest"]


def file_of(site):
    return site.roost.environments / f"{ENV}.yaml"


def test_an_import_names_every_change_of_the_plan_and_changes_nothing(site, by_flyctl):
    machine, _ = by_flyctl
    before = (site.list("machines"), site.list("volumes"))

    said = imported(site)
    plan = site.roost.json("plan", ENV, "--local")

    assert (site.list("machines"), site.list("volumes")) == before
    assert plan["refusals"] == []
    secrets, step = plan["steps"]  # the login's value is given here, that of the other is not
    assert (secrets["kind"], secrets["names"]) == ("set-secrets", [AUTH_SECRET])
    assert f"- {secrets['summary']}" in said.stdout
    assert (step["kind"], step["machine"], step["risk"]) == ("update-machine", machine, "data")
    for change in step["changes"]:
        assert reason_of(change["field"]), change
        assert f"- {change['field']}: " in said.stdout
    assert "Cannot be kept:" not in said.stdout
    file = yaml.safe_load(file_of(site).read_text())
    assert (file["adopt"], file["database"]["volume_name"]) == (machine, "prefect_data")
    assert file["secrets"] == ["MODAL_TOKEN_ID", AUTH_SECRET]


def test_a_second_import_overwrites_nothing(site, by_flyctl):
    assert by_flyctl
    imported(site)
    written = file_of(site).read_bytes()

    same = site.roost.run("import", site.name, "--local", "--name", ENV, *VERSION, expect=3)
    other = site.roost.run("import", site.name, "--local", "--name", "other", *VERSION, expect=3)

    assert "never overwritten" in same.stderr
    assert "has an environment file already" in " ".join(other.stderr.split())
    assert file_of(site).read_bytes() == written
    assert not (site.roost.environments / "other.yaml").exists()


@pytest.mark.slow
def test_an_adopted_server_keeps_machine_volume_data_and_secrets(site, by_flyctl):
    machine, volume = by_flyctl
    saved = save_a_run(site)
    imported(site)

    site.roost.run("apply", ENV, "--local")

    [now] = site.list("machines")
    assert (now["id"], now["config"]["mounts"][0]["volume"]) == (machine, volume)
    assert now["config"]["metadata"][ENVIRONMENT_KEY] == ENV
    assert now["config"]["metadata"]["fly_release_version"] == "7"
    assert [found["id"] for found in site.list("volumes")] == [volume]
    [snapshot] = site.daemon.call("GET", f"{site.app}/volumes/{volume}/snapshots")
    assert saved in kept(site)
    secrets = site.daemon.call("GET", f"{site.app}/secrets")["secrets"]
    assert {secret["name"] for secret in secrets} == {AUTH_SECRET, "MODAL_TOKEN_ID"}
    again = site.roost.json("plan", ENV, "--local")
    assert (again["steps"], again["refusals"]) == ([], [])
    releases = site.roost.json("releases", ENV, "--local")
    assert [r["verdict"] for r in releases["releases"]] == ["good", "good"]
    assert releases["releases"][0]["snapshot"] == snapshot["id"]


@pytest.mark.slow
def test_a_failed_gate_takes_the_machine_back_to_what_it_ran_before(site, by_flyctl):
    machine, _ = by_flyctl
    digest = digest_of(site)
    saved = save_a_run(site)
    imported(site)
    file = yaml.safe_load(file_of(site).read_text())
    file["prefect"] |= {"image": OTHER, "settings": {TROUBLE: EXITS}}
    file_of(site).write_text(yaml.safe_dump(file))

    failed = site.roost.run("apply", ENV, "--local", expect=4)

    [now] = site.list("machines")
    assert "The last healthy release was restored" in " ".join(failed.stderr.split())
    assert (now["id"], now["config"]["image"]) == (machine, f"{SMALL}@{digest}")
    assert now["config"]["env"]["PREFECT_HOME"] == "/mnt/prefect"
    assert now["config"]["mounts"][0]["path"] == "/mnt/prefect"
    assert saved in kept(site)


def test_an_export_describes_the_machine_that_was_imported(site, by_flyctl, tmp_path):
    assert by_flyctl
    imported(site)

    text = site.roost.run("export", ENV).stdout

    found = tomllib.loads(text)
    assert (found["app"], found["primary_region"]) == (site.name, "iad")
    assert found["build"]["image"] == f"{SMALL}@{digest_of(site)}"
    service = found["http_service"]
    assert service["internal_port"] == SERVICE["internal_port"]
    assert service["auto_stop_machines"] == SERVICE["autostop"]
    assert service["concurrency"] == SERVICE["concurrency"]
    assert service["checks"][0]["interval"] == CHECK["interval"]
    assert found["mounts"][0]["source"] == "prefect_data"
    assert found["vm"] == [{"size": "shared-cpu-1x", "memory": "512mb"}]
    assert found["env"]["TZ"] == "Europe/Berlin"
    (tmp_path / "fly.toml").write_text(text)


def test_flys_own_client_accepts_an_export(site, by_flyctl, tmp_path):
    program = os.environ.get("FLYCTL")
    if not program or not shutil.which(program):
        pytest.skip("Fly's client is not part of this project: set FLYCTL to its path")
    assert by_flyctl
    imported(site)
    (tmp_path / "fly.toml").write_text(site.roost.run("export", ENV).stdout)
    base = str(site.daemon.client.base_url)
    urls = ("FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_UIEX_BASE_URL")
    env = {
        **os.environ,
        **dict.fromkeys(urls, base),
        "FLY_API_TOKEN": "x",
        "FLY_CONFIG_DIR": str(tmp_path / "home"),
        "FLY_SEND_METRICS": "0",
        "FLY_NO_UPDATE_CHECK": "1",
    }

    done = subprocess.run(
        [program, "config", "validate", "--strict", "-c", str(tmp_path / "fly.toml")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr

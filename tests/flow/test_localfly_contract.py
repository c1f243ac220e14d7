"""The local Fly held against Fly's published OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import localfly
from helpers.fly_contract import Contract, Exchange, required_document
from helpers.local_daemon import tiny_config
from localfly.api.app import ABSENT, ENDPOINTS
from localfly.config.fields import (
    ANYTHING,
    BOOLEAN,
    DURATION,
    FIELDS,
    INTEGER,
    NEWER,
    NUMBER,
    STRING,
    SWITCH,
    Kind,
    Named,
)

README = Path(localfly.__file__).parent / "README.md"
API = Path(localfly.__file__).parent / "api"
NONCE = "fly-machine-lease-nonce"


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract(required_document())


class Recorder:
    """Asks the daemon, and remembers what was asked and answered."""

    def __init__(self, daemon) -> None:
        self.daemon = daemon
        self.exchanges: list[Exchange] = []

    def __call__(self, verb, path, body=None, *, expect=200, params=None, **options) -> Any:
        """Ask, and return the answer."""
        answer = self.daemon.call(verb, path, body, expect=expect, params=params, **options)
        names = tuple(params or ())
        self.exchanges.append(Exchange(verb.lower(), path, names, body, expect, answer))
        return answer


@pytest.fixture(scope="module")
def exchanges(daemon) -> list[Exchange]:
    """Every implemented endpoint, used as its clients use it, and refusing as it refuses."""
    ask = Recorder(daemon)
    use_platform(ask)
    app = use_app(ask)
    use_secrets(ask, app)
    volume = use_volumes(ask, app)
    machine = make_machine(ask, app, volume)
    change_machine(ask, machine)
    use_lease(ask, machine)
    use_metadata(ask, machine)
    run_machine(ask, machine)
    use_certificates(ask, app)
    use_tokens(ask, app)
    use_organization(ask)
    leave(ask, app, machine, volume)
    return ask.exchanges


def use_platform(ask):
    ask("GET", "/platform/regions")
    ask("POST", "/platform/placements", {"org_slug": "personal", "region": "iad", "count": 2})
    ask("POST", "/platform/placements", {"org_slug": ""}, expect=400)
    ask("GET", "/tokens/current")
    ask("GET", "/tokens/current", headers={"Authorization": ""}, expect=401)


def use_app(ask):
    body = {"name": "contract", "org_slug": "contract", "network": "quiet"}
    ask("POST", "/apps", body, expect=201)
    ask("POST", "/apps", {"name": "No!", "org_slug": "contract"}, expect=422)
    ask("GET", "/apps", params={"org_slug": "contract", "app_role": ""})
    ask("GET", "/apps", expect=400)
    ask("GET", "/apps/contract")
    ask("GET", "/apps/nobody", expect=404)
    ips = "/apps/contract/ip_assignments"
    address = ask("POST", ips, {"type": "v6", "region": "iad"})["ip"]
    ask("POST", ips, {"type": "v9"}, expect=400)
    ask("GET", ips)
    ask("DELETE", f"{ips}/{address}", expect=204)
    ask("DELETE", f"{ips}/{address}", expect=404)
    return "/apps/contract"


def use_secrets(ask, app):
    ask("POST", f"{app}/secrets", {"values": {"ONE": "1", "TWO": "2", "GONE": None}})
    ask("GET", f"{app}/secrets", params={"min_version": "1"})
    ask("GET", f"{app}/secrets", params={"min_version": "9"}, expect=412)
    ask("POST", f"{app}/secrets/THREE", {"value": "3"}, expect=201)
    ask("GET", f"{app}/secrets/THREE", params={"show_secrets": "true"})
    ask("DELETE", f"{app}/secrets/THREE")
    ask("GET", f"{app}/secrets/THREE", expect=404)


def use_volumes(ask, app):
    size = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}
    body = {
        "name": "data",
        "region": "iad",
        "size_gb": 1,
        "encrypted": True,
        "snapshot_retention": 7,
        "compute": size,
        "compute_image": "registry.fly.io/tiny:one",
    }
    volume = ask("POST", f"{app}/volumes", body)["id"]
    path = f"{app}/volumes/{volume}"
    ask("POST", f"{app}/volumes", {"name": "data", "size_gb": 9999}, expect=400)
    ask("GET", f"{app}/volumes", params={"summary": "false"})
    ask("GET", path)
    ask("PUT", path, {"snapshot_retention": 9, "auto_backup_enabled": False})
    ask("PUT", f"{path}/extend", {"size_gb": 2})
    ask("PUT", f"{path}/extend", {"size_gb": 1}, expect=400)
    ask("POST", f"{path}/snapshots")
    ask("GET", f"{path}/snapshots")
    fork = ask("POST", f"{app}/volumes", {"name": "fork", "source_volume_id": volume})["id"]
    ask("DELETE", f"{app}/volumes/{fork}")
    return volume


def make_machine(ask, app, volume):
    config = tiny_config(mounts=[{"volume": volume, "path": "/data", "name": "data"}])
    check = {"type": "http", "method": "GET", "path": "/", "interval": "15s", "timeout": "2s"}
    config["services"][0]["checks"] = [check]
    config["services"][0]["concurrency"] = {"type": "requests", "soft_limit": 8, "hard_limit": 9}
    config["metadata"] = {"fly_platform_version": "v2"}
    config["restart"] = {"policy": "on-failure", "max_retries": 3}
    config["stop_config"] = {"signal": "SIGTERM", "timeout": "5s"}
    body = {
        "name": "web",
        "region": "iad",
        "config": config,
        "skip_launch": False,
        "min_secrets_version": 1,
        "lease_ttl": 60,
    }
    made = ask("POST", f"{app}/machines", body)
    path = f"{app}/machines/{made['id']}"
    ask("DELETE", f"{path}/lease", headers={NONCE: made["nonce"]})
    ask("POST", f"{app}/machines", {**body, "name": "web"}, expect=409)
    ask("GET", f"{path}/wait", params={"state": "started", "timeout": "20"})
    ask("GET", f"{path}/wait", params={"state": "dreaming"}, expect=400)
    version = made["instance_id"]
    down = {"state": "stopped", "timeout": "1", "version": version}
    ask("GET", f"{path}/wait", params=down, expect=408)
    ask("GET", f"{path}/wait", params={"state": "started", "timeout": "61"}, expect=400)
    ask("GET", path)
    ask("GET", f"{app}/machines", params={"include_deleted": "true", "region": "iad"})
    ask("GET", f"{app}/machines", params={"summary": "true", "metadata.fly_platform_version": "v2"})
    ask("GET", f"{app}/machines/00000000000000", expect=404)
    return path


def change_machine(ask, path):
    machine = ask("GET", path)
    # Sent back as it was given: what Fly says, Fly takes.
    body = {"config": machine["config"], "current_version": machine["instance_id"]}
    updated = ask("POST", path, body)
    ask("POST", path, body, expect=412)
    version = {"version": updated["instance_id"], "state": "started"}
    ask("GET", f"{path}/wait", params=version)
    ask("GET", f"{path}/versions")


def use_lease(ask, path):
    ask("GET", f"{path}/lease", expect=404)
    lease = ask("POST", f"{path}/lease", {"ttl": 30, "description": "test"}, expect=201)["data"]
    ask("POST", f"{path}/lease", {"ttl": 30}, expect=409)
    ask("POST", f"{path}/lease", {"ttl": 60}, expect=201, headers={NONCE: lease["nonce"]})
    ask("GET", f"{path}/lease")
    ask("POST", f"{path}/stop", expect=409)
    ask("DELETE", f"{path}/lease", headers={NONCE: lease["nonce"]})


def use_metadata(ask, path):
    ask("PUT", f"{path}/metadata", {"metadata": {"a": "1", "b": "2"}}, expect=204)
    ask("PATCH", f"{path}/metadata", {"metadata": {"c": "3", "b": None}}, expect=204)
    stale = {"metadata": {"a": "9"}, "machine_version": "01HOLD"}
    ask("PATCH", f"{path}/metadata", stale, expect=412)
    ask("POST", f"{path}/metadata/d", {"value": "4"}, expect=204)
    ask("GET", f"{path}/metadata/d")
    ask("GET", f"{path}/metadata/none", expect=404)
    ask("DELETE", f"{path}/metadata/a", expect=204)
    assert ask("GET", f"{path}/metadata") == {"c": "3", "d": "4"}


def run_machine(ask, path):
    ask("GET", f"{path}/ps", params={"sort_by": "cpu", "order": "desc"})
    ask("POST", f"{path}/exec", {"command": ["true"], "stdin": "x", "timeout": 30})
    ask("POST", f"{path}/exec", {"cmd": ""}, expect=400)
    ask("POST", f"{path}/suspend")
    ask("GET", f"{path}/wait", params={"state": "suspended"})
    ask("POST", f"{path}/start")
    ask("POST", f"{path}/signal", {"signal": "SIGTERM"})
    ask("POST", f"{path}/restart", params={"timeout": "5", "signal": "SIGTERM"})
    ask("POST", f"{path}/cordon")
    ask("POST", f"{path}/uncordon")
    ask("POST", f"{path}/stop", {"signal": "SIGTERM", "timeout": "5s"})
    version = ask("GET", path)["instance_id"]
    ask("GET", f"{path}/wait", params={"state": "stopped", "version": version})
    ask("GET", f"{path}/events", params={"limit": "50"})


def use_certificates(ask, app):
    path = f"{app}/certificates"
    ask("POST", f"{path}/acme", {"hostname": "www.example.com"}, expect=201)
    ask("POST", f"{path}/acme", {"hostname": "www.example.com"}, expect=422)
    custom = {"hostname": "own.example.com", "fullchain": "chain", "private_key": "key"}
    ask("POST", f"{path}/custom", custom, expect=201)
    ask("GET", path, params={"limit": "1", "filter": "example"})
    ask("GET", f"{path}/www.example.com")
    ask("POST", f"{path}/www.example.com/check")
    ask("DELETE", f"{path}/www.example.com/acme")
    ask("DELETE", f"{path}/own.example.com/custom")
    ask("DELETE", f"{path}/own.example.com/custom", expect=404)
    ask("DELETE", f"{path}/www.example.com", expect=204)
    ask("GET", f"{path}/www.example.com", expect=404)


def use_tokens(ask, app):
    ask("POST", f"{app}/deploy_token", {"expiry": "24h"})
    ask("POST", f"{app}/deploy_token", {"expiry": "soon"}, expect=400)


def use_organization(ask):
    filters = {"limit": "1", "include_deleted": "true", "region": "iad"}
    ask("GET", "/orgs/contract/machines", params=filters)
    ask("GET", "/orgs/contract/volumes", params=filters)
    ask("GET", "/orgs/nobody/machines", expect=404)


def leave(ask, app, machine, volume):
    ask("DELETE", f"{app}/volumes/{volume}", expect=409)
    ask("DELETE", machine, params={"force": "true"})
    ask("DELETE", machine, expect=404)
    ask("DELETE", f"{app}/volumes/{volume}")
    ask("DELETE", app, expect=202)


def test_requests_and_answers_are_as_published(contract, exchanges):
    assert [fault for exchange in exchanges for fault in contract.faults(exchange)] == []


def test_every_endpoint_that_is_here_was_held_against_the_document(contract, exchanges):
    used = {(e.verb, contract.find(e.verb, e.path)) for e in exchanges if e.status < 400}
    here = {(verb.lower(), contract.find(verb.lower(), path)) for verb, path, _ in ENDPOINTS}

    assert here == used


def test_every_published_endpoint_is_here_or_known_to_be_absent(contract):
    known = {(verb.lower(), contract.find(verb.lower(), path)) for verb, path in ABSENT}
    known |= {(verb.lower(), contract.find(verb.lower(), path)) for verb, path, _ in ENDPOINTS}

    assert known == set(contract.operations())


@pytest.mark.parametrize(("verb", "path"), ABSENT, ids=lambda part: part.strip("/"))
def test_an_absent_endpoint_says_so_by_name(daemon, verb, path):
    path = path.replace("{", "").replace("}", "")

    error = daemon.call(verb, path, expect=501)["error"]

    assert f"{verb} {path}" in error
    assert "README" in error


# Query parameters without an effect, as the README says of each.
WITHOUT_EFFECT = {"sort_by", "order", "show_secrets"}


def test_every_published_query_parameter_is_read(contract):
    """A filter that is not read widens what a client finds, and deletes."""
    source = "".join(path.read_text(encoding="utf-8") for path in API.rglob("*.py"))
    here = {(verb.lower(), contract.find(verb.lower(), path)) for verb, path, _ in ENDPOINTS}
    asked = {
        parameter["name"]
        for verb, path in here
        for parameter in contract.document["paths"][path][verb].get("parameters", [])
        if parameter["in"] == "query"
    }

    assert {name for name in asked if f'"{name}"' not in source} == WITHOUT_EFFECT
    assert all(f"`{name}`" in README.read_text(encoding="utf-8") for name in WITHOUT_EFFECT)


def test_the_readme_says_of_every_endpoint_whether_it_is_here():
    rows = README.read_text(encoding="utf-8").splitlines()
    absent = "\n".join(row for row in rows if row.startswith("|") and "| - |" in row)
    here = "\n".join(row for row in rows if "| D |" in row or "| I |" in row)

    assert [f"{v} {p}" for v, p, _ in ENDPOINTS if f"`{v} {p}`" not in here] == []
    assert [f"{v} {p}" for v, p in ABSENT if f"`{v} {p}`" not in absent] == []


def test_a_path_that_fly_does_not_have_is_not_found(daemon):
    assert "no such path" in daemon.call("GET", "/no/such/thing", expect=404)["error"]
    assert "method not allowed" in daemon.call("PUT", "/apps", expect=405)["error"]


def test_the_table_of_config_fields_is_the_documents(contract):
    schemas = contract.document["components"]["schemas"]
    table = {name: shape for name, shape in FIELDS.items() if name not in NEWER}

    assert differences(table, schemas["fly.MachineConfig"], schemas, "config") == []


def differences(shape, schema, schemas, path):
    """Return where our table of fields and the document part."""
    schema = resolve(schema, schemas)
    if shape is ANYTHING:
        return []
    if isinstance(shape, Kind):
        return [] if schema.get("type") in TYPES[shape.name] else [f"{path}: {schema.get('type')}"]
    if isinstance(shape, list):
        return differences(shape[0], schema.get("items", {}), schemas, f"{path}[]")
    if isinstance(shape, Named):
        return differences(shape.shape, schema["additionalProperties"], schemas, f"{path}.*")
    fields = schema.get("properties", {})
    found = [f"{path}.{name}" for name in set(fields) ^ set(shape)]
    for name in set(fields) & set(shape):
        found += differences(shape[name], fields[name], schemas, f"{path}.{name}")
    return found


TYPES = {
    STRING.name: {"string"},
    BOOLEAN.name: {"boolean"},
    INTEGER.name: {"integer"},
    NUMBER.name: {"number"},
    DURATION.name: {"string"},
    SWITCH.name: {"string"},
}


def resolve(schema, schemas):
    """Follow a reference, bare or wrapped."""
    wrapped = schema.get("allOf", [schema])[0]
    reference = wrapped.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema

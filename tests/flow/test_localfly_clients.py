"""The local Fly's Machines API as the clients in the field use it, such as fly-go's of flyctl."""

from __future__ import annotations

import pytest

from helpers.local_daemon import PORT, REF, tiny_config
from helpers.waiting import until

NAME, TAG = REF.rsplit(":", 1)
SLOW_TO_END = (
    "import signal, time\n"
    "signal.signal(signal.SIGINT, lambda *_: None)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(600)\n"
)


def log_of(daemon, machine):
    """Return what a machine wrote so far."""
    return (daemon.home / "logs" / f"{machine['id']}.log").read_text()


def path_of(app, machine):
    return f"{app}/machines/{machine['id']}"


def test_flyctl_stops_a_machine_with_its_id_and_no_time(daemon, app):
    """fly-go sends the id, and 0s for no timeout: the machine's own stop_config counts."""
    code = SLOW_TO_END.replace("None)", "os._exit(7))").replace("import ", "import os, ")
    machine = daemon.new_machine(app, config=tiny_config(init={"exec": ["python", "-c", code]}))
    path = path_of(app, machine)
    until(lambda: "deaf" in log_of(daemon, machine))

    daemon.call("POST", f"{path}/stop", {"id": "4d89", "timeout": "0s"}, expect=400)
    daemon.call("POST", f"{path}/stop", {"id": machine["id"], "timeout": "0s"})
    daemon.call("GET", f"{path}/wait", params={"state": "stopped"})

    (ended,) = [e for e in daemon.machine(app, machine["id"])["events"] if e["type"] == "exit"]
    assert ended["request"]["exit_event"]["exit_code"] == 7


def test_a_machine_being_stopped_is_destroyed_by_force_only(daemon, app):
    config = tiny_config(
        init={"exec": ["python", "-c", SLOW_TO_END]}, stop_config={"timeout": "60s"}
    )
    machine = daemon.new_machine(app, config=config)
    until(lambda: "deaf" in log_of(daemon, machine))

    daemon.call("POST", f"{path_of(app, machine)}/stop")
    until(lambda: daemon.machine(app, machine["id"])["state"] == "stopping")
    daemon.call("DELETE", path_of(app, machine), expect=412)

    # Not before its process ends by itself, so that no test waits for it.
    (process,) = [p for p in daemon.machine_processes() if SLOW_TO_END in p.cmdline()]
    process.kill()
    daemon.call("DELETE", path_of(app, machine), params={"force": "true"})


@pytest.mark.parametrize("field", ["name", "app_name"])
def test_an_app_is_created_under_either_name_and_shown(daemon, field):
    name = f"named-by-{field.replace('_', '-')}"

    made = daemon.call("POST", "/apps", {field: name, "org_slug": "personal"}, expect=201)

    assert made["name"] == name
    assert made["organization"]["slug"] == "personal"
    assert made["created_at"] > 1_700_000_000_000
    body = {"name": "one", "app_name": "two", "org_slug": "personal"}
    daemon.call("POST", "/apps", body, expect=400)


def test_apps_are_listed_by_role_so_that_none_is_taken_for_a_builder(daemon):
    """Of such an app without a builder's machine, flyctl makes a new one: it deletes the old."""
    body = {"name": "roleless", "org_slug": "roles", "app_role_id": ""}
    daemon.call("POST", "/apps", body, expect=201)
    body = {"name": "database", "org_slug": "roles", "app_role_id": "postgres_cluster"}
    daemon.call("POST", "/apps", body, expect=201)

    def names(**query):
        found = daemon.call("GET", "/apps", params={"org_slug": "roles", **query})
        return [app["name"] for app in found["apps"]]

    assert names() == ["roleless", "database"]
    assert names(app_role="postgres_cluster") == ["database"]
    assert names(app_role="remote-docker-builder") == []
    body = {"name": "builder", "org_slug": "roles", "app_role_id": "remote-docker-builder"}
    assert "localfly image build" in daemon.call("POST", "/apps", body, expect=501)["error"]


def test_a_machine_with_auto_destroy_is_destroyed_when_it_is_stopped(daemon, app):
    machine = daemon.new_machine(app, config=tiny_config(auto_destroy=True))

    daemon.call("POST", f"{path_of(app, machine)}/stop")
    daemon.wait(app, machine["id"], "destroyed")

    assert daemon.call("GET", f"{app}/machines") == []


def test_an_image_is_found_by_the_digest_that_a_machine_shows(daemon, app):
    digest = daemon.new_machine(app, skip_launch=True, wait="")["image_ref"]["digest"]

    for image in (f"{REF}@{digest}", f"{NAME}@{digest}", f"{NAME}:other@{digest}"):
        daemon.new_machine(app, config=tiny_config(image=image), skip_launch=True, wait="")
    for image in (f"{REF}@sha256:{'0' * 64}", f"registry.fly.io/none@{digest}", f"{REF}@"):
        body = {"config": tiny_config(image=image), "skip_launch": True}
        daemon.call("POST", f"{app}/machines", body, expect=400)


def test_metadata_is_of_strings_and_an_empty_one_is_none(daemon, app):
    path = path_of(app, daemon.new_machine(app, skip_launch=True, wait=""))
    daemon.call("PUT", f"{path}/metadata", {"metadata": {"a": "1", "b": "2"}}, expect=204)

    daemon.call("POST", f"{path}/metadata/a", {"value": ""}, expect=204)
    for body in ({"metadata": {"b": 3}}, {"metadata": {}, "updated_at": 0}, {"metadata": []}):
        daemon.call("PATCH", f"{path}/metadata", body, expect=400)
    daemon.call("POST", f"{path}/metadata/b", {"value": "3", "updated_at": False}, expect=400)

    assert daemon.call("GET", f"{path}/metadata") == {"b": "2"}


def test_a_service_without_a_protocol_is_tcp_and_one_process_is_the_machines_own(daemon, app):
    daemon.call("POST", f"{app}/secrets", {"values": {"TOKEN": "t0p"}})
    config = tiny_config(services=[{"internal_port": PORT, "autostart": True}])
    process = {"cmd": ["python", "program.py"], "env": {"ROLE": "web"}, "ignore_app_secrets": True}
    config["processes"] = [process]

    machine = daemon.new_machine(app, config=config)

    assert machine["config"]["services"][0]["protocol"] == "tcp"
    env = daemon.ask(app, "/env")
    assert env["ROLE"] == "web"
    assert "TOKEN" not in env
    for refused in ([process, process], [process | {"user": "nobody"}]):
        body = {"config": {**config, "processes": refused}}
        daemon.call("POST", f"{app}/machines", body, expect=501)


def test_a_verb_that_a_path_lacks_is_answered_with_those_it_has(daemon, app):
    for path, verbs in (("/apps", "GET, HEAD, POST"), (f"{app}/volumes", "GET, HEAD, POST")):
        answer = daemon.client.put(f"/v1{path}")

        assert answer.status_code == 405
        assert ", ".join(sorted(answer.headers["allow"].split(", "))) == verbs


def test_other_schemes_of_authorization_are_refused(daemon):
    for header, status in (("Basic eDp4", 401), ("x", 401), ("bearer x", 200), ("FlyV1 x", 200)):
        headers = {"Authorization": header}
        daemon.call("GET", "/platform/regions", expect=status, headers=headers)


def test_placements_take_regions_and_aliases(daemon):
    def place(**request):
        body = {"org_slug": "personal", **request}
        return daemon.call("POST", "/platform/placements", body)["regions"]

    def codes(**request):
        return [region["region"] for region in place(**request)]

    assert place(region="lhr,eu", count=3) == [{"region": "lhr", "count": 3, "concurrency": 1}]
    assert codes(region="lhr,eu")[0] == "lhr"
    assert set(codes(region="eu")) == {"ams", "arn", "cdg", "fra", "lhr"}
    assert len(codes()) == len(daemon.call("GET", "/platform/regions")["regions"])
    for refused in ({"region": "mars"}, {"count": -1}, {"weights": {"region": "x"}}):
        body = {"org_slug": "personal", **refused}
        daemon.call("POST", "/platform/placements", body, expect=400)

"""Machines of the local Fly from creation to destruction, as real processes."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest

from helpers.local_daemon import tiny_config
from helpers.plain_http import NO_TLS
from helpers.waiting import until
from localfly.runtime.process import MARK


def exit_event(daemon, app, machine):
    """Return what the newest exit event says."""
    events = daemon.machine(app, machine)["events"]
    return next(event["request"] for event in events if event["type"] == "exit")


def test_a_created_machine_starts_and_serves_through_its_app(daemon, app):
    machine = daemon.new_machine(app, name="web-1", region="fra")

    assert machine["state"] == "created"
    assert machine["name"] == "web-1"
    seen = daemon.machine(app, machine["id"])
    assert (seen["state"], seen["region"]) == ("started", "fra")
    assert seen["image_ref"]["repository"] == "tiny"
    assert seen["image_ref"]["digest"].startswith("sha256:")
    assert daemon.ask(app, "/hello") == {"path": "/hello"}
    assert daemon.events(app, machine["id"]) == [
        "launch/created/user",
        "start/starting/user",
        "start/started/user",
    ]


def test_a_machine_created_with_skip_launch_waits_to_be_started(daemon, app):
    made = daemon.new_machine(app, wait="stopped", skip_launch=True)
    machine = made["id"]

    refused = daemon.call(
        "GET",
        f"{app}/machines/{machine}/wait",
        params={"state": "started", "timeout": 1},
        expect=408,
    )
    answer = daemon.call("POST", f"{app}/machines/{machine}/start")

    assert made["state"] == "created"
    assert "failed to reach desired state, started, currently stopped" in refused["error"]
    assert answer["previous_state"] == "stopped"
    assert daemon.machine(app, machine)["state"] == "started"


def test_what_a_machine_sees_of_its_world(daemon, app):
    daemon.call("POST", f"{app}/secrets", {"values": {"TOKEN": "t0p"}})
    config = tiny_config(env={"GREETING": "hi", "SCRATCH": "/tmp/x", "HOST": "0.0.0.0"})
    machine = daemon.new_machine(app, config=config)

    env = daemon.ask(app, "/env")
    assert env["TOKEN"] == "t0p"
    assert env["GREETING"] == "hi"
    assert env["FLY_APP_NAME"] == app.removeprefix("/apps/")
    assert env["FLY_MACHINE_ID"] == machine["id"]
    assert env["FLY_MACHINE_VERSION"] == machine["instance_id"]
    assert env["FLY_IMAGE_REF"] == config["image"]
    assert env["FLY_VM_MEMORY_MB"] == "256"
    assert env["HOST"] == env["FLY_PRIVATE_IP"] != "0.0.0.0"
    assert env["SCRATCH"].endswith("/tmp/x")
    assert env["SCRATCH"] != "/tmp/x"
    # Nothing of the daemon's, and the one mark by which a machine's processes are found.
    assert [name for name in env if name.startswith("LOCALFLY")] == [MARK]


def test_a_machine_reaches_other_apps_and_its_own_where_their_proxies_are(daemon, app):
    app_name = app.removeprefix("/apps/")
    other = f"{app_name}-other"
    daemon.new_machine(daemon.new_app(other))
    addresses = {
        "OTHER": f"http://{other}.flycast/api",
        "PUBLIC": f"https://{other}.fly.dev/api",
        "OWN": f"http://{app_name}.flycast",
        "NOBODY": "http://nobody.flycast",
    }
    daemon.new_machine(app, config=tiny_config(env=addresses))

    env = daemon.ask(app, "/env")
    for name in ("OTHER", "PUBLIC"):
        assert httpx.get(env[name], trust_env=False, verify=NO_TLS).json() == {"path": "/api"}
    assert (
        httpx.get(env["OWN"] + "/env", trust_env=False, verify=NO_TLS).json()["FLY_APP_NAME"]
        == app_name
    )
    assert env["NOBODY"] == "http://nobody.flycast"


def test_a_secret_set_later_is_seen_after_the_next_start_only(daemon, app):
    machine = daemon.new_machine(app)["id"]
    version = daemon.call("POST", f"{app}/secrets", {"values": {"LATE": "1"}})["version"]

    assert "LATE" not in daemon.ask(app, "/env")
    daemon.call("POST", f"{app}/machines/{machine}/restart")
    daemon.wait(app, machine, "started")
    assert daemon.ask(app, "/env")["LATE"] == "1"

    body = {"config": tiny_config(), "min_secrets_version": version + 1}
    assert (
        "secrets are at version"
        in daemon.call("POST", f"{app}/machines", body, expect=412)["error"]
    )


def test_a_stopped_machine_notes_that_it_was_asked_to(daemon, app):
    machine = daemon.new_machine(app)["id"]

    daemon.call("POST", f"{app}/machines/{machine}/stop", {"signal": "SIGTERM", "timeout": "5s"})
    daemon.wait(app, machine, "stopped")

    ended = exit_event(daemon, app, machine)["exit_event"]
    assert ended["requested_stop"]
    assert not ended["restarting"]
    assert (ended["signal"], ended["exit_code"]) == (15, 143)
    assert daemon.events(app, machine)[-2:] == ["stop/stopping/user", "exit/stopped/flyd"]


def test_a_request_wakes_a_stopped_machine(daemon, app):
    machine = daemon.new_machine(app)["id"]
    daemon.call("POST", f"{app}/machines/{machine}/stop")
    daemon.wait(app, machine, "stopped")

    assert daemon.ask(app, "/") == {"path": "/"}
    assert daemon.events(app, machine)[-2:] == ["start/starting/proxy", "start/started/proxy"]


def test_a_suspended_machine_keeps_its_memory_and_a_stop_drops_it(daemon, app):
    machine = daemon.new_machine(app)["id"]
    before = daemon.ask(app, "/count")
    daemon.call("POST", f"{app}/machines/{machine}/suspend")
    daemon.wait(app, machine, "suspended")

    assert daemon.ask(app, "/count") == {**before, "count": before["count"] + 1}

    daemon.call("POST", f"{app}/machines/{machine}/suspend")
    daemon.wait(app, machine, "suspended")
    daemon.call("POST", f"{app}/machines/{machine}/stop")
    daemon.wait(app, machine, "stopped")
    assert daemon.ask(app, "/count")["pid"] != before["pid"]


@pytest.mark.parametrize(
    "changes",
    [{"guest": {"memory_mb": 2304, "cpus": 2}}, {"init": {"swap_size_mb": 256}}],
    ids=["more than 2 GB", "swap"],
)
def test_a_machine_that_cannot_be_suspended_is_stopped_instead(daemon, app, changes):
    machine = daemon.new_machine(app, config=tiny_config(**changes))["id"]

    daemon.call("POST", f"{app}/machines/{machine}/suspend")

    daemon.wait(app, machine, "stopped")


def test_a_machine_suspends_itself_through_its_socket_and_is_woken_by_a_request(daemon, app):
    machine = daemon.new_machine(app)["id"]
    wanted = {"state": "suspended", "timeout": 2}
    answers = []

    def rests():
        # One that is frozen before it could pass its answer on is woken, as it has a visitor.
        answers.append(daemon.ask(app, "/own?POST&SELF/suspend"))
        return daemon.client.get(f"/v1{app}/machines/{machine}/wait", params=wanted).is_success

    until(rests)

    assert answers[-1] == {"status": 200, "body": '{"ok":true}'}
    assert daemon.ask(app, "/") == {"path": "/"}
    assert "suspend/suspended/machine" in daemon.events(app, machine)


def test_a_machine_may_act_on_nothing_but_itself(daemon, app):
    other = daemon.new_machine(app, skip_launch=True, wait="")["id"]
    daemon.new_machine(app)

    for path in (f"/v1{app}/machines/{other}/stop", f"/v1{app}/secrets", "/localfly/stop"):
        assert daemon.ask(app, f"/own?POST&{path}")["status"] == 403
    assert daemon.ask(app, "/own?GET&SELF")["status"] == 200


def test_an_update_replaces_the_process_and_the_version(daemon, app):
    machine = daemon.new_machine(app)
    path = f"{app}/machines/{machine['id']}"
    body = {
        "config": tiny_config(env={"ROUND": "2"}),
        "current_version": machine["instance_id"],
    }

    updated = daemon.call("POST", path, body)
    daemon.wait(app, machine["id"], "started", version=updated["instance_id"])

    assert updated["instance_id"] > machine["instance_id"]
    assert daemon.ask(app, "/env")["ROUND"] == "2"
    versions = daemon.call("GET", f"{path}/versions")
    assert [v["version"] for v in versions] == [updated["instance_id"], machine["instance_id"]]
    assert versions[0]["user_config"] == body["config"]
    assert "current_version says" in daemon.call("POST", path, body, expect=412)["error"]


def test_an_update_starts_a_stopped_machine_unless_told_not_to(daemon, app):
    machine = daemon.new_machine(app)["id"]
    path = f"{app}/machines/{machine}"
    daemon.call("POST", f"{path}/stop")
    daemon.wait(app, machine, "stopped")

    kept = daemon.call("POST", path, {"config": tiny_config(), "skip_launch": True})
    assert kept["state"] == "stopped"
    daemon.call("POST", path, {"config": tiny_config()})
    daemon.wait(app, machine, "started")


def test_an_update_drops_what_a_suspended_machine_remembered(daemon, app):
    machine = daemon.new_machine(app)["id"]
    pid = daemon.ask(app, "/count")["pid"]
    daemon.call("POST", f"{app}/machines/{machine}/suspend")
    daemon.wait(app, machine, "suspended")

    body = {"config": tiny_config(), "skip_launch": True}
    daemon.call("POST", f"{app}/machines/{machine}", body)
    daemon.wait(app, machine, "stopped")

    assert daemon.ask(app, "/count")["pid"] != pid


def test_a_process_that_fails_is_started_again_and_counted(daemon, app):
    machine = daemon.new_machine(app)["id"]
    pid = daemon.ask(app, "/count")["pid"]

    with contextlib.suppress(AssertionError, httpx.HTTPError):
        daemon.ask(app, "/exit?3")
    until(lambda: "exit/stopped/flyd" in daemon.events(app, machine))
    ended = exit_event(daemon, app, machine)
    daemon.wait(app, machine, "started")

    assert ended["exit_event"]["exit_code"] == 3
    assert ended["exit_event"]["restarting"]
    assert not ended["exit_event"]["requested_stop"]
    assert daemon.ask(app, "/count")["pid"] != pid


def test_a_process_that_keeps_failing_is_given_up(daemon, app):
    config = tiny_config(
        init={"exec": ["python", "-c", "raise SystemExit(4)"]},
        restart={"policy": "on-failure", "max_retries": 1},
    )
    machine = daemon.new_machine(app, config=config, wait="")["id"]

    daemon.wait(app, machine, "stopped")

    assert daemon.events(app, machine).count("exit/stopped/flyd") == 2
    assert exit_event(daemon, app, machine)["restart_count"] == 1


@pytest.mark.parametrize(("policy", "code"), [("no", 5), ("on-failure", 0)])
def test_the_policy_decides_that_an_end_is_final(daemon, app, policy, code):
    config = tiny_config(
        init={"exec": ["python", "-c", f"raise SystemExit({code})"]}, restart={"policy": policy}
    )
    machine = daemon.new_machine(app, config=config, wait="")["id"]

    daemon.wait(app, machine, "stopped")

    assert exit_event(daemon, app, machine)["exit_event"]["exit_code"] == code


def test_memory_beyond_the_limit_ends_the_process_with_an_oom_exit(daemon, app):
    machine = daemon.new_machine(app, config=tiny_config(restart={"policy": "no"}))["id"]
    daemon.ask(app, "/")

    with contextlib.suppress(AssertionError, httpx.HTTPError):
        daemon.ask(app, "/hoard?400")
    daemon.wait(app, machine, "stopped")

    ended = exit_event(daemon, app, machine)["exit_event"]
    assert ended["oom_killed"]
    assert (ended["signal"], ended["exit_code"]) == (9, 137)


def test_a_command_that_does_not_exist_leaves_a_failed_machine_that_can_be_mended(daemon, app):
    config = tiny_config(init={"exec": ["/no/such/command"]})
    machine = daemon.new_machine(app, config=config, wait="failed")["id"]

    refused = daemon.call("POST", f"{app}/machines/{machine}/start", expect=500)
    assert "/no/such/command" in refused["error"]
    daemon.call("POST", f"{app}/machines/{machine}", {"config": tiny_config()})
    daemon.wait(app, machine, "started")


def test_an_auto_destroyed_machine_goes_with_its_process(daemon, app):
    config = tiny_config(init={"exec": ["python", "-c", "pass"]}, auto_destroy=True)
    machine = daemon.new_machine(app, config=config, wait="destroyed")["id"]

    assert daemon.call("GET", f"{app}/machines") == []
    found = daemon.call("GET", f"{app}/machines", params={"include_deleted": "true"})
    assert [m["id"] for m in found] == [machine]


def test_a_running_machine_is_destroyed_by_force_only(daemon, app):
    machine = daemon.new_machine(app)["id"]
    path = f"{app}/machines/{machine}"

    daemon.call("DELETE", path, expect=412)
    daemon.call("DELETE", path, params={"force": "true"})

    assert daemon.machine(app, machine)["state"] == "destroyed"
    daemon.call("DELETE", path, expect=404)
    for action in ("start", "restart", "suspend"):
        daemon.call("POST", f"{path}/{action}", expect=412)
    daemon.call("POST", f"{path}/stop", expect=404)


def test_a_signal_reaches_the_process(daemon, app):
    machine = daemon.new_machine(app)["id"]
    path = f"{app}/machines/{machine}/signal"

    daemon.ask(app, "/")
    daemon.call("POST", path, {"signal": "SIGNONE"}, expect=400)
    daemon.call("POST", path, expect=400)
    daemon.call("POST", path, {"signal": "SIGUSR1"})
    until(lambda: "exit/stopped/flyd" in daemon.events(app, machine))

    assert exit_event(daemon, app, machine)["exit_event"]["signal"] == 10


def test_health_checks_run_from_the_host_and_show_in_the_machine(daemon, app):
    config = tiny_config()
    every = {"interval": "200ms", "timeout": "30s", "grace_period": "1s"}
    config["services"][0]["checks"] = [{"type": "http", "method": "get", "path": "/up", **every}]
    config["checks"] = {"closed": {"type": "tcp", "port": 9, **every}}
    machine = daemon.new_machine(app, config=config)["id"]

    def statuses():
        checks = daemon.machine(app, machine)["checks"]
        return {check["name"]: check["status"] for check in checks}

    wanted = {"servicecheck-00-http-8080": "passing", "closed": "critical"}
    until(lambda: statuses() == wanted)
    daemon.call("POST", f"{app}/machines/{machine}/suspend")
    daemon.wait(app, machine, "suspended")
    time.sleep(0.5)
    assert daemon.machine(app, machine)["state"] == "suspended"


def test_processes_of_a_machine_are_listed(daemon, app):
    machine = daemon.new_machine(app)["id"]
    daemon.ask(app, "/")

    (process,) = daemon.call("GET", f"{app}/machines/{machine}/ps")

    assert "program.py" in process["command"]
    # Its loopback address here stands for every address that it has on Fly.
    assert process["listen_sockets"][0]["address"] == "0.0.0.0:8080"


@pytest.mark.slow
def test_the_memory_of_a_machine_is_told_now_at_most_and_as_it_may_be(daemon, app):
    machine = daemon.new_machine(app)
    params = {"app": app.removeprefix("/apps/")}

    def memory():
        [found] = daemon.client.get("/localfly/memory", params=params).json()["machines"]
        return found

    before = memory()
    daemon.ask(app, "/hoard?60")
    full = memory()
    daemon.call("POST", f"{app}/machines/{machine['id']}/suspend")
    daemon.wait(app, machine["id"], "suspended")
    frozen = memory()
    daemon.call("POST", f"{app}/machines/{machine['id']}/stop")
    daemon.wait(app, machine["id"], "stopped")

    assert before["id"] == machine["id"]
    assert before["limit_mb"] == 256
    assert 0 < before["used_mb"] <= before["peak_mb"] < 60
    assert 60 <= full["used_mb"] <= full["peak_mb"] < 256
    assert 60 <= frozen["used_mb"] <= frozen["peak_mb"]
    assert daemon.client.get("/localfly/memory", params=params).json() == {"machines": []}
    assert daemon.client.get("/localfly/memory", params={"app": "nope"}).status_code == 404

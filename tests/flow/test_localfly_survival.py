"""What outlives the local Fly's daemon: killed at any moment, stopped in order, started twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat

import httpx
import psutil
import pytest

from helpers.local_daemon import tiny_config
from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until


def with_volume(daemon, app, **changes):
    """Create a machine with a volume of its own, and return both ids."""
    volume = daemon.call("POST", f"{app}/volumes", {"name": "data", "size_gb": 1})["id"]
    mounts = [{"volume": volume, "path": "/data"}]
    config = tiny_config(mounts=mounts, env={"DATA": "/data"}, **changes)
    return daemon.new_machine(app, config=config)["id"], volume


def restart_after_kill(daemon):
    """Kill the daemon without warning, and start the next one."""
    daemon.kill()
    daemon.start()


def test_a_running_machine_is_adopted_by_the_next_daemon_and_still_answers(own_daemon):
    app = own_daemon.new_app("kept")
    machine, _ = with_volume(own_daemon, app)
    own_daemon.ask(app, "/write?before")
    before = own_daemon.ask(app, "/count")
    version = own_daemon.machine(app, machine)["instance_id"]

    restart_after_kill(own_daemon)

    assert own_daemon.ask(app, "/count") == {**before, "count": before["count"] + 1}
    assert own_daemon.ask(app, "/read") == {"note": "before"}
    found = own_daemon.machine(app, machine)
    assert (found["state"], found["instance_id"]) == ("started", version)
    assert own_daemon.ask(app, "/own?POST&SELF/suspend")["status"] == 200
    own_daemon.wait(app, machine, "suspended")
    assert own_daemon.ask(app, "/count")["pid"] == before["pid"]


def test_an_adopted_machine_can_be_stopped_and_its_end_is_noticed(own_daemon):
    app = own_daemon.new_app("kept")
    machine = own_daemon.new_machine(app)["id"]
    restart_after_kill(own_daemon)

    own_daemon.call("POST", f"{app}/machines/{machine}/stop")
    own_daemon.wait(app, machine, "stopped")

    assert own_daemon.machine_processes() == []


def test_a_suspended_machine_stays_suspended_and_wakes_with_its_memory(own_daemon):
    app = own_daemon.new_app("kept")
    machine = own_daemon.new_machine(app)["id"]
    before = own_daemon.ask(app, "/count")
    own_daemon.call("POST", f"{app}/machines/{machine}/suspend")
    own_daemon.wait(app, machine, "suspended")

    restart_after_kill(own_daemon)

    assert own_daemon.machine(app, machine)["state"] == "suspended"
    assert own_daemon.ask(app, "/count")["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("policy", "state"), [("on-failure", "started"), ("no", "stopped")], ids=["wanted", "done"]
)
def test_a_machine_that_died_with_the_daemon_is_treated_as_after_a_host_failure(
    own_daemon, policy, state
):
    app = own_daemon.new_app("lost")
    machine = own_daemon.new_machine(app, config=tiny_config(restart={"policy": policy}))["id"]
    own_daemon.kill()
    for process in own_daemon.machine_processes():
        process.kill()
        process.wait()

    own_daemon.start()

    own_daemon.wait(app, machine, state)
    events = own_daemon.machine(app, machine)["events"]
    ended = next(e["request"]["exit_event"] for e in events if e["type"] == "exit")
    assert not ended["requested_stop"]
    assert ended["restarting"] is (state == "started")


def test_a_daemon_killed_while_it_launches_leaves_neither_stray_nor_forgotten_machine(own_daemon):
    app = own_daemon.new_app("moment")
    body = {"config": tiny_config()}
    machines = [own_daemon.call("POST", f"{app}/machines", body)["id"] for _ in range(3)]

    restart_after_kill(own_daemon)

    for machine in machines:
        own_daemon.wait(app, machine, "started")
    homes = [process.environ()["FLY_MACHINE_ID"] for process in own_daemon.machine_processes()]
    assert sorted(homes) == sorted(machines)


def test_a_daemon_killed_in_the_middle_of_an_update_finishes_it(own_daemon):
    app = own_daemon.new_app("moment")
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    config = tiny_config(
        init={"exec": ["python", "-c", stubborn]},
        stop_config={"signal": "SIGTERM", "timeout": "30s"},
    )
    machine = own_daemon.new_machine(app, config=config)["id"]
    updated = own_daemon.call(
        "POST", f"{app}/machines/{machine}", {"config": tiny_config(env={"ROUND": "2"})}
    )
    assert updated["state"] == "replacing"

    restart_after_kill(own_daemon)

    own_daemon.wait(app, machine, "started", version=updated["instance_id"])
    assert own_daemon.ask(app, "/env")["ROUND"] == "2"
    assert len(own_daemon.machine_processes()) == 1


def test_nothing_told_is_lost_when_the_daemon_is_killed(own_daemon):
    app = own_daemon.new_app("whole")
    machine, volume = with_volume(own_daemon, app)
    path = f"{app}/machines/{machine}"
    nonce = own_daemon.call("POST", f"{path}/lease", {"ttl": 600}, expect=201)["data"]["nonce"]
    own_daemon.call("PATCH", f"{path}/metadata", {"metadata": {"k": "v"}}, expect=204)
    own_daemon.call("POST", f"{app}/secrets", {"values": {"A": "1"}})
    own_daemon.call("POST", f"{app}/ip_assignments", {"type": "v6"})
    paths = [path, f"{path}/events", f"{path}/versions", f"{path}/lease", f"{path}/metadata"]
    paths += [f"{app}/volumes/{volume}", f"{app}/secrets", f"{app}/ip_assignments", app]
    before = {p: own_daemon.call("GET", p) for p in paths}
    port = own_daemon.client.get("/localfly/status").json()["apps"]["whole"]["port"]

    restart_after_kill(own_daemon)

    after = {p: own_daemon.call("GET", p) for p in paths}
    assert after == before
    assert own_daemon.client.get("/localfly/status").json()["apps"]["whole"]["port"] == port
    own_daemon.call("DELETE", path, params={"force": "true"}, expect=409)
    nonce_header = {"fly-machine-lease-nonce": nonce}
    own_daemon.call("DELETE", path, params={"force": "true"}, headers=nonce_header)


def test_a_stop_ends_every_machine_and_a_request_after_the_next_start_wakes_it(own_daemon):
    app = own_daemon.new_app("slept")
    machine, _ = with_volume(own_daemon, app)
    own_daemon.ask(app, "/write?kept")
    other = own_daemon.new_machine(app)["id"]
    own_daemon.call("POST", f"{app}/machines/{other}/suspend")
    own_daemon.wait(app, other, "suspended")
    own_daemon.call("DELETE", f"{app}/machines/{other}", params={"force": "true"})
    url = str(own_daemon.client.base_url)

    own_daemon.stop()

    assert own_daemon.machine_processes() == []
    assert not (own_daemon.home / "daemon.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False, verify=NO_TLS)
    own_daemon.start()
    assert str(own_daemon.client.base_url) == url
    assert own_daemon.machine(app, machine)["state"] == "stopped"
    assert own_daemon.ask(app, "/read") == {"note": "kept"}


def test_a_second_daemon_says_who_holds_the_home(own_daemon):
    refused = own_daemon.command("serve")

    assert refused.returncode == 1
    assert f"process {own_daemon.process.pid}" in refused.stderr
    assert "localfly stop" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_told_in_one_sentence_with_advice(own_daemon):
    own_daemon.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        refused = own_daemon.command("start", "--detach", "--port", port)

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"Port {port} is in use" in refused.stderr
    assert "--port" in refused.stderr


def test_the_command_line_starts_shows_and_stops_a_detached_daemon(own_daemon):
    own_daemon.stop()
    assert own_daemon.command("status").returncode == 1

    url = own_daemon.command("start", "--detach").stdout.strip()
    own_daemon.connect(url)
    own_daemon.new_machine(own_daemon.new_app("shown"))
    again = own_daemon.command("start", "--detach").stdout.strip()
    shown = json.loads(own_daemon.command("status", "--json").stdout)
    stopped = own_daemon.command("stop")

    assert again == url == shown["api_url"]
    assert [m["state"] for m in shown["apps"]["shown"]["machines"]] == ["started"]
    assert stopped.returncode == 0
    assert own_daemon.machine_processes() == []
    with contextlib.suppress(psutil.NoSuchProcess):
        # It has let go of everything by now; somebody may still have to collect it.
        psutil.Process(shown["pid"]).wait(LIMIT_S)


def test_logs_of_an_app_are_what_its_machines_wrote(own_daemon):
    own_daemon.new_machine(own_daemon.new_app("chatty"))
    until(lambda: "listening" in own_daemon.command("logs", "chatty").stdout)
    unknown = own_daemon.command("logs", "nobody")

    assert unknown.returncode == 1
    assert "no app nobody" in unknown.stderr


def test_reset_ends_the_machines_of_a_killed_daemon_and_keeps_built_images(own_daemon):
    own_daemon.new_machine(own_daemon.new_app("gone"))
    own_daemon.kill()
    assert len(own_daemon.machine_processes()) == 1

    done = own_daemon.command("reset", "--yes")

    assert done.returncode == 0, done.stderr
    assert own_daemon.machine_processes() == []
    assert list(own_daemon.home.iterdir()) == []
    own_daemon.start()
    assert own_daemon.client.get("/localfly/status").json()["apps"] == {}
    own_daemon.new_machine(own_daemon.new_app("fresh"))


def test_state_with_secrets_is_readable_by_its_owner_alone(own_daemon):
    app = own_daemon.new_app("hidden")
    own_daemon.call("POST", f"{app}/secrets", {"values": {"KEY": "hunter2-hunter2"}})

    for path in own_daemon.home.iterdir():
        if path.is_file() and b"hunter2" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(own_daemon.home.stat().st_mode) == 0o700


def test_values_of_secrets_are_in_no_log_and_no_answer(own_daemon):
    app = own_daemon.new_app("hidden")
    value = "hunter2-hunter2"
    answers = [own_daemon.call("POST", f"{app}/secrets", {"values": {"KEY": value}})]
    machine = own_daemon.new_machine(app)
    own_daemon.call("POST", f"{app}/secrets", {"values": {"KEY": [value]}}, expect=400)
    answers += [own_daemon.call("GET", p) for p in (f"{app}/secrets", f"{app}/secrets/KEY")]
    answers += [machine, own_daemon.call("GET", f"{app}/secrets", params={"show_secrets": "true"})]
    answers += [own_daemon.client.get("/localfly/status").json()]
    own_daemon.stop()

    assert value not in json.dumps(answers)
    for log in [*own_daemon.home.glob("logs/*"), *own_daemon.home.parent.glob("*.log")]:
        assert value not in log.read_text()


def test_events_are_streamed_with_the_seconds_each_change_took(own_daemon):
    app = own_daemon.new_app("told")
    with own_daemon.client.stream("GET", "/localfly/events?follow=1") as stream:
        body = {"config": tiny_config()}
        own_daemon.call("POST", f"{app}/machines", body)
        told = []
        for line in stream.iter_lines():
            if line:
                told.append(json.loads(line))
            if told and told[-1]["status"] == "started":
                break

    assert [event["type"] for event in told] == ["launch", "start", "start"]
    assert {event["app"] for event in told} == {"told"}
    assert 0 < told[-1]["seconds"] < 30


def test_a_daemon_told_to_stop_during_a_launch_leaves_no_process(own_daemon):
    app = own_daemon.new_app("hurried")
    for _ in range(3):
        own_daemon.call("POST", f"{app}/machines", {"config": tiny_config()})

    own_daemon.stop()

    assert own_daemon.machine_processes() == []


def test_a_volume_being_copied_when_the_daemon_is_killed_leaves_no_half_snapshot(own_daemon):
    app = own_daemon.new_app("halved")
    machine, volume = with_volume(own_daemon, app)
    path = f"{app}/volumes/{volume}/snapshots"
    folder = own_daemon.home / "volumes" / volume
    for number in range(300):
        (folder / str(number)).write_bytes(bytes(4096))
    own_daemon.call("POST", path)

    restart_after_kill(own_daemon)

    (snapshot,) = own_daemon.call("GET", path)
    copies = list((own_daemon.home / "snapshots").glob("*/*"))
    assert snapshot["status"] == "failed" or len(copies) >= 300
    own_daemon.wait(app, machine, "started")
    assert own_daemon.ask(app, "/") == {"path": "/"}


def test_sigint_ends_a_daemon_in_order(own_daemon):
    own_daemon.new_machine(own_daemon.new_app("interrupted"))

    own_daemon.process.send_signal(signal.SIGINT)
    own_daemon.process.wait(LIMIT_S)

    assert own_daemon.machine_processes() == []
    assert own_daemon.process.returncode == 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(own_daemon.process.pid, 0)

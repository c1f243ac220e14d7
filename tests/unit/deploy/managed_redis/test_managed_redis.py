"""The machine of a managed Redis, with Debian's Redis: what it keeps, whom it lets in, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from helpers.redis_machine import PROGRAM, RedisMachine
from helpers.redis_server import find_program
from helpers.waiting import until
from roost_redis.passwords import FILE

pytestmark = pytest.mark.skipif(
    find_program() is None, reason="no Redis here: apt-get install redis-server"
)


@pytest.fixture
def machine(tmp_path):
    """A machine with a Redis, not started."""
    found = RedisMachine(tmp_path)
    try:
        yield found
    finally:
        found.clean()


def redis_process(machine):
    [found] = psutil.Process(machine.process.pid).children()
    return found


def test_what_was_written_outlives_a_stop_and_a_kill(machine):
    machine.start()
    machine.ask("set", "first", "1")
    stopped = machine.stop()
    machine.start()
    machine.ask("set", "second", "2")
    redis_process(machine).send_signal(signal.SIGKILL)
    ended = machine.process.wait(60)
    machine.start()

    assert (machine.ask("get", "first"), machine.ask("get", "second")) == ("1", "2")
    assert (stopped, ended) == (0, 1)
    assert "it ended with -9" in machine.log


def test_its_health_is_that_of_redis(machine):
    status, text = machine.start().health()
    redis_process(machine).suspend()
    hung = machine.health()
    redis_process(machine).resume()
    until(lambda: machine.health()[0] == 200)

    assert status == 200
    assert "of 64 MB" in text
    assert hung[0] == 503


def test_a_full_memory_removes_no_key_and_is_told(machine):
    machine.start()
    machine.ask("set", "kept", "1")
    machine.ask("config", "set", "maxmemory", "500000")
    refused = machine.ask("set", "more", "2")
    full = machine.health()

    assert machine.ask("get", "kept") == "1"
    assert "OOM" in refused
    assert full[0] == 503
    assert "its memory is nearly full" in full[1]


def test_only_who_has_the_password_is_let_in_and_nobody_reads_it_elsewhere(machine):
    machine.start()

    assert "NOAUTH" in machine.ask("ping", password="another")
    assert machine.ask("ping") == "PONG"
    redis = redis_process(machine)
    assert machine.password not in " ".join(redis.cmdline())
    assert machine.password not in str(redis.environ())
    assert machine.password not in machine.log
    assert not [
        path
        for path in machine.volume.rglob("*")
        if path.is_file() and machine.password.encode() in path.read_bytes()
    ]


def test_a_new_password_lets_the_one_of_before_in_until_its_time_is_over(machine):
    machine.start()
    old = machine.password
    machine.stop()
    machine.password = "another-password-1"
    machine.start()
    both = machine.ask("ping"), machine.ask("ping", password=old)
    machine.stop()
    kept = json.loads((machine.volume / FILE).read_text())
    (machine.volume / FILE).write_text(json.dumps({**kept, "until": time.time() + 1}))
    machine.start()
    until(lambda: "NOAUTH" in machine.ask("ping", password=old))

    assert both == ("PONG", "PONG")
    assert machine.ask("ping") == "PONG"


def test_a_file_that_cannot_be_read_ends_the_start_with_redis_s_words(machine):
    machine.start()
    machine.ask("set", "key", "value")
    machine.stop()
    [file] = machine.volume.rglob("*.incr.aof")
    file.write_bytes(b"*1\r\n$4\r\nbad" + file.read_bytes())

    machine.launch()

    assert machine.process.wait(60) == 1
    assert "roost: Redis cannot run: it ended with 1, it said:" in machine.log
    assert "reading the append only file" in machine.log
    [told] = [line for line in machine.log.splitlines() if "cannot run" in line]
    assert "bad" not in told, "a piece of the data is quoted"


@pytest.mark.parametrize("command", [["bake"], []], ids=["build", "start"])
def test_a_computer_without_redis_is_told_which_package_it_needs(machine, command, tmp_path):
    said = subprocess.run(
        [sys.executable, str(PROGRAM), *command],
        env={**machine.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 1
    assert "apt-get install redis-server" in said.stderr
    assert machine.password not in said.stderr


def test_a_redis_that_is_too_old_is_refused(machine, tmp_path):
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho Redis server v=6.0.16 sha=00000000:0\n")
    program.chmod(0o755)

    said = subprocess.run(
        [sys.executable, str(PROGRAM), "bake"],
        env={**machine.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 1
    assert "older than 6.2" in said.stderr

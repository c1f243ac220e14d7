"""What only a process of its own shows: pipes, signals, and what is imported."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from helpers.local_daemon import SCRIPTS
from helpers.roost_command import RoostCommand, finish

STOPPED = "roost: stopped. What was done stays done; run the same command to go on.\n"
HEAVY = {"anyio", "asyncio", "httpx", "jsonschema", "pydantic", "rich", "stamina", "yaml"}


@pytest.fixture
def roost(tmp_path):
    command = RoostCommand(tmp_path, tmp_path / "cache", FLY_API_TOKEN="fm2_token")
    command.write("staging")
    return command


@pytest.fixture
def silent_api():
    """An API that takes calls and never answers; gives its address, and waits for a call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


def url_of(listener):
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("words", ["show staging", "validate --json", "schema", "--help"])
def test_a_reader_that_goes_away_ends_it_quietly(roost, words):
    process = roost.begin(*words.split())
    process.stdout.close()

    with process.stderr:
        said = process.stderr.read()

    assert (process.wait(), said) == (1, "")


@pytest.mark.parametrize("words", ["show staging", "validate --json", "schema", "--help"])
def test_a_full_disk_is_told_in_a_sentence(roost, words):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a path
        done = subprocess.run(
            [sys.executable, "-m", "roost", *words.split()],
            env=roost.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "roost: error [error]: No space left on device.\n"


def test_a_home_of_the_local_fly_that_cannot_be_written_is_told_in_a_sentence(roost):
    done = roost.run("local", "start", expect=1, LOCALFLY_HOME="/proc/nowhere")

    assert done.stdout == ""
    assert done.stderr == (
        "roost: error [local-fly]: The local Fly: /proc/nowhere: No such file or directory.\n"
    )


def interrupted(process, listener, number):
    """Wait until a command waits for Fly, then send it a signal and return how it ended."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1)
        process.send_signal(number)
        return finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_signal_while_fly_is_asked_ends_it_with_one_sentence(roost, silent_api, verb, number):
    process = roost.begin(verb, "staging", FLY_FLAPS_BASE_URL=url_of(silent_api))

    done = interrupted(process, silent_api, number)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", STOPPED)


def test_ctrl_c_counts_for_who_was_started_with_it_ignored(roost, silent_api):
    """A shell starts what it runs in the background so."""
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            'trap "" INT; exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "roost",
            "status",
            "staging",
        ],
        env=roost.env | {"FLY_FLAPS_BASE_URL": url_of(silent_api)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    done = interrupted(process, silent_api, signal.SIGINT)

    assert (done.returncode, done.stderr) == (130, STOPPED)


def test_ctrl_c_before_anything_is_read_ends_it_without_a_word(tmp_path, roost):
    """The line at which it comes is the first that is ours: typer loads, and stops there."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")

    done = finish(roost.begin("--help", PYTHONPATH=f"{tmp_path}:{SCRIPTS}"))

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_help_loads_nothing_heavy(roost):
    program = (
        "import sys; from roost.cli.process import main; main(['--help']);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=roost.env,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert loaded & HEAVY == set()

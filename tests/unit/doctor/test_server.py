"""`doctor ENV` of a server: what is read and asked, what is not, and how it is printed."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
import yaml

from helpers.fake_prefect import LOGIN, say
from helpers.fly_answers import says
from roost.fly.logs import LogsClient

SERVED = "staging: the server and its database answer"


@pytest.fixture
def log(clients):
    """The lines that Fly's API of logs has; a status instead refuses them."""
    lines = []

    def answer(_):
        if lines and isinstance(lines[0], int):
            return says(lines[0], {"error": "not authorized"})
        data = [
            {"attributes": {"message": line, "instance": "m1"} if isinstance(line, str) else line}
            for line in lines
        ]
        return says(200, {"data": data, "meta": {"next_token": ""}})

    clients.use(logs=partial(LogsClient, transport=httpx.MockTransport(answer)))
    return lines


@pytest.fixture
def applied(roost, log):
    """The server of `staging`, awake; the Fly has its machine."""
    assert roost("apply", "staging").code == 0
    return log


def found(said, state):
    return [check for check in json.loads(said.out)["checks"] if check["state"] == state]


def machine_of(fly):
    [machine] = fly.machines.values()
    return machine


@pytest.mark.usefixtures("applied")
def test_a_server_that_serves_is_well_and_its_log_is_not_read(roost):
    said = roost("doctor", "staging")

    assert SERVED in said.out
    assert "wrong" not in said.out


def test_a_server_without_its_database_is_told_with_what_it_said_and_no_secret(
    roost, applied, prefect
):
    prefect.broken["GET", "/api/ready"] = say(503)
    applied += [f"connecting as postgresql://{LOGIN}@h/x", f"ConnectionRefusedError {LOGIN}"]

    said = roost("doctor", "staging")

    assert said.code == 2
    assert "wrong    staging: the server does not serve: nothing answers at the host" in said.out
    assert "seen: /api/ready: 503" in said.out
    assert LOGIN.partition(":")[2] not in said.out
    told = said.out[said.out.index("wrong ") :]
    wrapped = [line for line in told.splitlines() if "./run" not in line]
    assert max(map(len, wrapped)) <= 80
    assert not any(line.endswith(" ") for line in wrapped)


def test_lines_of_a_config_before_the_present_one_say_nothing(roost, applied, fly, prefect):
    prefect.broken["GET", "/api/ready"] = say(500)
    machine = machine_of(fly)
    begin = datetime.now(UTC)
    machine["events"] = [
        {"type": "update", "status": "started", "timestamp": int(begin.timestamp() * 1000)}
    ]

    def entry(message, ago):
        at = (begin - timedelta(seconds=ago)).isoformat()
        return {"message": message, "instance": machine["id"], "timestamp": at}

    applied += [
        entry("OSError: No space left on device", 60),
        entry("InvalidPasswordError: password authentication failed", -1),
        entry("[PC01] instance refused connection", -2),
    ]
    assert "the database refuses the user" in roost("doctor", "staging").out

    del applied[1:]
    assert "No space left" not in roost("doctor", "staging").out


def test_a_sleeping_server_is_not_asked_and_not_woken_but_with_the_option(
    roost, applied, fly, prefect
):
    machine_of(fly)["state"] = "suspended"
    prefect.asked.clear()

    said = roost("doctor", "staging", "--json")

    assert prefect.asked == []
    assert any("it sleeps" in check["what"] for check in found(said, "unknown"))
    roost("doctor", "staging", "--wake")
    assert ("GET", "/api/health") in prefect.asked
    assert applied == []


def test_a_log_that_may_not_be_read_is_told_with_the_reason(roost, applied, prefect):
    prefect.broken["GET", "/api/ready"] = say(500)
    applied.append(401)

    [check] = found(roost("doctor", "staging", "--json"), "wrong")

    assert any("its log was not read" in line for line in check["evidence"])


def test_the_wakes_of_the_metadata_are_read(roost, applied, fly):
    left = json.dumps([{"at": 1, "path": "/x", "agent": "prefect/3.1.10 (API 0)", "from": ""}])
    machine_of(fly)["config"]["metadata"]["roost_wakes"] = left

    [check] = found(roost("doctor", "staging", "--json"), "wrong")

    assert "Its Prefect 3.1.10 completes flow runs" in check["mend"]
    assert applied == []


def test_git_applies_the_diff_as_it_is_printed(roost, applied, fly, prefect, tmp_path):
    """With line ends of Windows, tabs and the mark of UTF-8."""
    setting = "PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL"
    file = tmp_path / "staging.yaml"
    data = yaml.safe_load(file.read_text())
    settings = {setting: "never", "PREFECT_LOGGING_LEVEL": "INFO"}
    data["prefect"] = {"settings": settings, **data["prefect"]}
    rest = {key: value for key, value in data.items() if key != "prefect"}
    text = yaml.safe_dump({"prefect": data["prefect"]}, sort_keys=False) + yaml.safe_dump(rest)
    text = text.replace(": never\n", ": never\t# first\n").replace("INFO\n", "INFO\t# ours\n")
    file.write_bytes(f"\ufeff{text}".replace("\n", "\r\n").encode())
    before = file.read_bytes()
    left = {
        "version": "",
        "error": "a Prefect setting is wrong (related_resource_cache_ttl: no); fix",
    }
    machine_of(fly)["config"]["metadata"]["roost_last_error"] = json.dumps(left)
    prefect.broken["GET", "/api/ready"] = say(500)

    said = roost("doctor", "staging")

    lines = said.out.split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("--- a/"))
    last = next(number for number in range(first, len(lines)) if lines[number].startswith("  " * 4))
    subprocess.run(
        ["git", "apply", "-"],
        cwd=tmp_path.parent,  # the top of the repository, where none of git is
        input="\n".join([*lines[first:last], ""]).encode(),
        check=True,
        env={"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path.parents[1])},
    )
    gone = next(line for line in before.splitlines(keepends=True) if setting.encode() in line)
    assert file.read_bytes() == before.replace(gone, b"")
    assert applied == []

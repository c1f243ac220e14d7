"""exec runs a command in one machine, says which, and ends with its exit code; nobody is woken unasked."""

from __future__ import annotations

import json

import pytest

from helpers.fly_answers import says
from helpers.fly_calls import RefusedError

EXEC = "POST machines/m0002/exec"


@pytest.fixture
def applied(roost, fly):
    """The environment, applied and awake; gives its one machine."""
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    [machine] = fly.machines.values()
    return machine


@pytest.mark.usefixtures("applied")
def test_its_output_is_printed_as_it_is_and_its_code_is_the_exit_code(roost, fly):
    fly.executed = {"exit_code": 7, "stdout": "a  b\n[red]c[/red]", "stderr": "oh\n"}

    said = roost("exec", "staging", "--timeout", "9", "--", "ls", "-l", "a b")

    assert (said.code, said.out) == (7, "a  b\n[red]c[/red]")
    assert said.err == "In m0002 (app-1) of acme-prefect:\noh\n"
    assert fly.sent(EXEC) == {"command": ["ls", "-l", "a b"], "timeout": 9}


@pytest.mark.usefixtures("applied")
def test_a_program_that_was_interrupted_is_no_interrupt_of_roost(roost, fly):
    fly.executed = {"exit_code": 130, "stderr": "^C\n"}

    said = roost("exec", "staging", "--", "true")

    assert said.code == 130
    assert said.err == "In m0002 (app-1) of acme-prefect:\n^C\n"


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("ending", "code"),
    [({}, 0), ({"exit_code": 0, "exit_signal": 9}, 137), ({"exit_code": -1}, 1)],
    ids=["empty", "signal", "negative"],
)
def test_every_ending_has_an_exit_code(roost, fly, ending, code):
    fly.executed = ending

    assert roost("exec", "staging", "--", "true").code == code


@pytest.mark.usefixtures("applied")
def test_as_json_it_is_one_object_and_the_exit_code_stays(roost, fly):
    fly.executed = {"exit_code": 2, "stdout": "x", "stderr": ""}

    said = roost("exec", "staging", "--json", "--", "false")

    assert said.code == 2
    assert json.loads(said.out) == {
        "environment": "staging",
        "app": "acme-prefect",
        "machine": "m0002",
        "exit_code": 2,
        "stdout": "x",
        "stderr": "",
    }


def test_a_sleeping_machine_is_started_only_if_asked(roost, fly, applied):
    applied["state"] = "suspended"

    refused = roost("exec", "staging", "--", "true")
    before = list(fly.changes)
    done = roost("exec", "staging", "--wake", "--", "true")

    assert refused.code == 3
    assert "it is suspended" in refused.err
    assert "add --wake" in refused.err
    assert before == []
    assert done.code == 0
    assert fly.changes == ["POST machines/m0002/start", EXEC]
    assert "m0002 is suspended. It is started." in done.err


@pytest.mark.usefixtures("applied")
def test_a_machine_that_is_not_there_is_refused_with_those_that_are(roost, fly):
    said = roost("exec", "staging", "--machine", "m9", "--", "true")

    assert said.code == 3
    assert "It has: m0002 (app-1)." in said.err
    assert fly.changes == []


@pytest.mark.usefixtures("applied")
def test_a_command_that_does_not_end_is_sent_once_and_named_as_perhaps_running(
    roost, fly, monkeypatch
):
    def late(ask, *_):
        if ask.path[-1:] == ("exec",):
            raise RefusedError(408, "deadline_exceeded")
        return answer(ask)

    answer = fly._answer
    monkeypatch.setattr(fly, "_answer", late)

    said = roost("exec", "staging", "--timeout", "5", "--", "sleep", "60")

    assert said.code == 1
    assert "The command did not end within 5 s; it may still run." in said.err
    assert "--timeout" in said.err
    assert fly.changes == [EXEC]


@pytest.mark.usefixtures("applied")
def test_the_answer_is_lost_and_the_command_is_not_run_twice(roost, fly, monkeypatch):
    def broken(ask):
        return says(502, {}) if ask.path[-1:] == ("exec",) else answer(ask)

    answer = fly._answer
    monkeypatch.setattr(fly, "_answer", broken)

    said = roost("exec", "staging", "--", "rm", "x")

    assert said.code == 1
    assert fly.changes == [EXEC]


@pytest.mark.parametrize("words", [("staging",), ("staging", "--timeout", "601", "--", "true")])
def test_what_makes_no_sense_is_refused(roost, words):
    assert roost("exec", *words).code == 3


def test_a_server_that_was_never_applied_has_no_machine(roost):
    said = roost("exec", "staging", "--", "true")

    assert said.code == 3
    assert "has no machine yet" in said.err

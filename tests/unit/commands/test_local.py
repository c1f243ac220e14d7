"""`roost local` where no local Fly runs, and what is taken for a running one."""

from __future__ import annotations

import json
from functools import partial

import anyio
import httpx
import pytest

from helpers.fly_answers import says
from roost.operations.local_fly import find_local_fly


@pytest.mark.parametrize("words", ["status", "status --json", "logs", "logs acme --follow"])
def test_without_a_local_fly_the_way_to_start_one_is_told(roost, words):
    said = roost("local", *words.split())

    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "roost: error [local-fly]: The local Fly does not run. Start it: ./run roost local start\n"
    )


def test_there_is_nothing_to_stop_where_none_runs(roost):
    said = roost("local", "stop")

    assert (said.code, said.out) == (0, "")
    assert "does not run" in said.err


def test_nothing_is_deleted_without_a_word_from_a_person(roost, tmp_path):
    kept = tmp_path / "localfly" / "volumes"
    kept.mkdir(parents=True)

    said = roost("local", "reset")

    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("roost: error [usage]: Nothing was deleted.")
    assert kept.is_dir()


# What is taken for a running one


@pytest.fixture
def answers(monkeypatch):
    """Put what a program says that has the port of before; by default there is none."""
    said = []

    def answer(request):
        if not said:
            raise httpx.ConnectError("refused")
        return said[0] if request.url.path == "/localfly/status" else says(404)

    client = partial(httpx.AsyncClient, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("roost.operations.local_fly.httpx.AsyncClient", client)
    return said


def found(folder, record):
    (folder / "daemon.json").write_text(json.dumps(record))
    return anyio.run(find_local_fly, folder)


RECORD = {"api_url": "http://127.0.0.1:4280", "pid": 7}


def test_one_that_answers_as_its_record_says_is_found(tmp_path, answers):
    answers.append(says(200, {"pid": 7, "apps": {}}))

    assert found(tmp_path, RECORD).api_url == "http://127.0.0.1:4280"


@pytest.mark.parametrize(
    "answer",
    [None, says(404), says(200, b"<html>"), says(200, []), says(200, {}), says(200, {"pid": 8})],
    ids=["nobody", "not found", "a page", "a list", "an object", "another local Fly"],
)
def test_who_has_the_port_of_a_dead_one_is_not_taken_for_it(tmp_path, answers, answer):
    if answer:
        answers.append(answer)

    assert found(tmp_path, RECORD) is None


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("record", [[], {}, {"api_url": 5, "pid": 7}, {"api_url": ":", "pid": 7}])
def test_a_record_of_another_shape_is_none(tmp_path, record):
    assert found(tmp_path, record) is None


def test_a_home_without_a_record_has_none(tmp_path):
    assert anyio.run(find_local_fly, tmp_path / "nowhere") is None

"""What writers' answers come to, and what a writer sends."""

from __future__ import annotations

import json
import time

import pytest

from bench.client import UNANSWERED, Answer
from bench.load import MARK_AFTER_S, Load, watch_due, write_run


def answer(status, took_s=0.1, body=b""):
    return Answer(status, body, 0.0, took_s)


def load(*answers, health=(1.0, 2.0), ended=4.0):
    return Load(answers, health, 0.0, ended)


class ScriptedClient:
    """Answers with the statuses it was given, in order."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.sent = []

    def post(self, path, body):
        """Keep what was sent, and answer."""
        self.sent.append((path, body))
        return answer(self.statuses.pop(0), body=json.dumps({"id": "run-1"}).encode())


def test_only_2xx_are_answers_well_given():
    found = load(answer(201), answer(200), answer(503), answer(UNANSWERED))

    assert (found.well_share(), found.rate()) == (50.0, 0.5)
    assert found.failures() == {503: 1, UNANSWERED: 1}


def test_unanswered_requests_count_in_the_percentile_with_the_time_they_were_waited_for():
    found = load(*[answer(201)] * 9, answer(UNANSWERED, took_s=6.0))

    assert found.p95_ms() == 6000


def test_silence_is_the_longest_time_without_health():
    assert load(answer(201)).silence_s() == 2.0


def test_a_writer_sends_what_a_flow_run_sends():
    client = ScriptedClient(201, 201, 201, 201)

    assert [a.status for a in write_run(client, "flow-1")] == [201] * 4
    assert [path for path, _ in client.sent] == [
        "/api/flow_runs/",
        "/api/flow_runs/run-1/set_state",
        "/api/logs/",
        "/api/flow_runs/run-1/set_state",
    ]
    states = [body["state"]["type"] for _, body in client.sent if "state" in body]
    assert states == ["PENDING", "RUNNING", "COMPLETED"]
    assert len(client.sent[2][1]) == 5


@pytest.mark.parametrize("good", [0, 1, 2, 3])
def test_a_run_is_given_up_at_the_first_bad_answer(good):
    client = ScriptedClient(*[201] * good, 503)

    assert [a.status for a in write_run(client, "flow-1")] == [201] * good + [503]


class DueClient(ScriptedClient):
    """Answers each look for due runs with the next list of their states."""

    def __init__(self, *looks):
        super().__init__()
        self.looks = list(looks)

    def post(self, path, body):
        """Return the runs as they are now; None is no good answer."""
        self.sent.append((path, body))
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if look is None:
            return answer(UNANSWERED)
        runs = [
            {"id": run, "state": {"name": name, "timestamp": f"1970-01-01T00:01:{second}Z"}}
            for run, name, second in look
        ]
        return answer(200, body=json.dumps(runs).encode())


def test_a_mark_counts_from_the_time_it_was_due_by_the_server_s_own_clock():
    scheduled = [("a", "Scheduled", "00"), ("b", "Late", "05")]
    client = DueClient(scheduled, None, [("a", "Late", "07"), ("b", "Late", "05")])

    found = watch_due(client, ("a", "b"), due_at=60.0)

    assert found.late_s == (7 - MARK_AFTER_S, 5 - MARK_AFTER_S)
    assert found.p95_s() == 7 - MARK_AFTER_S


def test_a_run_that_is_never_marked_counts_until_it_is_given_up(monkeypatch):
    monkeypatch.setattr("bench.load.MARK_LIMIT_S", 0.1)
    client = DueClient([("a", "Scheduled", "00")])

    [late] = watch_due(client, ("a",), due_at=time.time() - 100).late_s

    assert 99 <= late < 130

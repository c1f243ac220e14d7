"""What a launcher tells of runs that have no process on its machine."""

from __future__ import annotations

from roost_flows.missing import MissingRuns


def test_a_process_that_was_seen_and_ended_is_gone_and_one_that_never_was_is_unseen():
    runs = MissingRuns()
    runs.learn({"running": ["a", "b", "c"]})
    runs.see(["a"])

    assert runs.report(["b"]) == {"gone": ["a"], "unseen": ["c"]}


def test_what_the_server_does_not_expect_is_not_told():
    runs = MissingRuns()
    runs.see(["a"])

    assert runs.report([]) == {"gone": [], "unseen": []}
    runs.learn({"running": "a"})
    assert runs.report([]) == {"gone": [], "unseen": []}


def test_a_run_that_ended_is_forgotten():
    """It may be scheduled again, and has no process until its runner starts one."""
    runs = MissingRuns()
    runs.see(["a"])
    runs.learn({"running": []})
    runs.learn({"running": ["a"]})

    assert runs.report([]) == {"gone": [], "unseen": ["a"]}

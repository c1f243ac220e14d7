"""releases and rollback: what they show, what they change, and what they refuse."""

from __future__ import annotations

import json
import re

import pytest

from helpers.step_outputs import outputs_in

BAD = "CRITICAL"
"""The log level with which the server is no good."""


@pytest.fixture(autouse=True)
def server(roost, monkeypatch, prefect, fly):  # noqa: ARG001 - which clears the environment first
    """A server that is what its machine's config says; applies come from a commit."""
    monkeypatch.setenv("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567")

    def follow():
        machine = next(iter(fly.machines.values()))
        prefect.version = machine["config"]["metadata"]["roost_prefect_version"]
        bad = machine["config"]["env"].get("PREFECT_LOGGING_LEVEL") == bad_level[0]
        prefect.api_url = "http://nowhere" if bad else "/api"

    bad_level = [BAD]
    prefect.broken[("GET", "/api/health")] = follow
    return bad_level


@pytest.fixture
def applied(roost, rewrite):
    """Applies the file with a log level, and perhaps another Prefect."""

    def run(level, version="3.8.8"):
        rewrite(prefect={"version": version, "settings": {"PREFECT_LOGGING_LEVEL": level}})
        return roost("apply", "staging")

    return run


def listed(roost):
    said = roost("releases", "staging", "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)["releases"]


def verdicts(roost):
    return [(r["number"], r["verdict"], r["back_to"]) for r in listed(roost)]


def test_before_the_first_apply_there_is_none_and_it_says_how_to_make_one(roost, fly):
    said = roost("releases", "staging")

    assert (said.code, said.err) == (0, "")
    assert said.out == "staging has no release yet. Make the first one: ./run roost apply staging\n"
    assert fly.changes == []
    assert json.loads(roost("releases", "staging", "--json").out)["releases"] == []


def test_releases_are_listed_newest_first_with_where_they_came_from(roost, applied):
    applied("DEBUG")
    applied("INFO")

    newest, oldest = listed(roost)

    assert (newest["number"], newest["live"], newest["verdict"]) == (2, True, "good")
    assert (oldest["number"], oldest["live"], oldest["prefect"]) == (1, False, "3.8.8")
    assert newest["git"] == "0123456789abcdef0123456789abcdef01234567"
    assert re.fullmatch(r"registry\.fly\.io/acme-prefect:prefect-3\.8\.8-\w{12}", newest["image"])
    assert (newest["region"], newest["machines"], newest["snapshot"]) == ("iad", 1, "")
    assert (newest["changed"], oldest["changed"]) == (["env.PREFECT_LOGGING_LEVEL"], [])


def test_the_table_has_a_line_for_each_and_tells_why(roost, applied):
    applied("DEBUG")
    assert applied(BAD).code == 4

    lines = roost("releases", "staging").out.splitlines()
    first = [line for line in lines if line[0].isdigit()]

    assert lines[0].split() == [
        *("release", "verdict", "when", "git", "Prefect", "image", "snapshot", "what"),
    ]
    assert [line.split()[:2] for line in first] == [["3", "good,"], ["2", "failed"], ["1", "good"]]
    told = " ".join(" ".join(lines).split())
    assert "changes env.PREFECT_LOGGING_LEVEL. puts release 1 back" in told
    assert "Checks failed: ui" in told
    assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d +0123456 +3\.8\.8 +\w{12} +- +-$", first[2])
    assert not any(level in told for level in ("DEBUG", BAD))


def test_clearing_a_failed_release_lets_it_be_tried_again(roost, applied, fly):
    applied("DEBUG")
    applied(BAD)
    assert applied(BAD).code == 3
    fly.asked.clear()

    said = roost("releases", "staging", "--clear", 2)

    [key] = fly.machines
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "Release 2 is cleared: a plan may try it again. Next: ./run roost plan staging\n"
    )
    assert fly.changes == [
        f"POST machines/{key}/lease",
        f"PATCH machines/{key}/metadata",
        f"DELETE machines/{key}/lease",
    ]
    assert verdicts(roost)[1] == (2, "cleared", None)
    assert "Checks failed" in listed(roost)[1]["why"]
    assert applied(BAD).code == 4
    assert verdicts(roost)[0] == (5, "good", 1)


def test_clearing_what_did_not_fail_changes_nothing(roost, applied, fly):
    applied("DEBUG")
    fly.asked.clear()

    said = roost("releases", "staging", "--clear", 1)

    assert (said.code, said.out) == (3, "")
    assert (
        "error [cannot-apply]: staging: Release 1 passed its gate, so there is nothing to"
        in said.err
    )
    assert fly.changes == []


@pytest.mark.parametrize(("words", "told"), [("0", "'--clear'"), ("x", "'--clear'")])
def test_a_number_that_is_none_is_told(roost, words, told):
    said = roost("releases", "staging", "--clear", words)

    assert said.code == 3
    assert f"Invalid value for {told}" in said.err


def test_a_rollback_shows_its_plan_proves_it_and_says_what_the_file_asks_for(roost, applied, fly):
    applied("DEBUG")
    applied("INFO")

    said = roost("rollback", "staging")

    assert (said.code, said.out) == (0, "Release 1 is back, and proved.\n")
    assert "env.PREFECT_LOGGING_LEVEL: INFO -> DEBUG" in said.err
    assert "merge a revert of it, or the next apply undoes the rollback." in said.err
    assert "ok   flow run" in said.err
    assert verdicts(roost) == [(3, "good", 1), (2, "good", None), (1, "good", None)]
    [machine] = fly.machines.values()
    assert machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_a_rollback_as_json_is_one_object_with_plan_gate_and_number(roost, applied):
    applied("DEBUG")
    applied("INFO")

    said = roost("rollback", "staging", "--to", 1, "--json")

    document = json.loads(said.out)
    assert (said.code, document["back_to"], document["release"]) == (0, 1, 3)
    assert document["error"] is None
    assert [step["kind"] for step in document["steps"]] == ["update-machine"]
    assert all(check["ok"] for check in document["gate"])


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_where_the_gate_fails_the_document_is_printed_all_the_same(roost, applied, server, verb):
    applied("DEBUG")
    applied("INFO")
    if verb == "apply":
        roost("rollback", "staging")
        server[0] = "INFO"
    else:
        server[0] = "DEBUG"

    said = roost(verb, "staging", "--json")

    document = json.loads(said.out)
    assert (said.code, document["error"]) == (4, "gate-failed")
    assert [check["name"] for check in document["gate"] if not check["ok"]] == ["ui"]
    assert "error [gate-failed]" in said.err


def test_after_a_rollback_a_plan_says_that_an_apply_undoes_it_and_an_apply_does(roost, applied):
    applied("DEBUG")
    applied("INFO")
    roost("rollback", "staging")

    said = roost("plan", "staging")
    assert "warning: Somebody rolled back to release 1, as release 3; the file asks for" in said.out
    assert "To stay, merge a revert of the file first." in said.out

    assert applied("INFO").code == 0
    assert verdicts(roost)[0] == (4, "good", None)


def test_a_rollback_whose_gate_fails_ends_with_what_was_live(roost, applied, server):
    applied("DEBUG")
    applied("INFO")
    server[0] = "DEBUG"

    said = roost("rollback", "staging")

    assert (said.code, said.out) == (4, "")
    changed = "This apply changed the setting PREFECT_LOGGING_LEVEL."
    assert (
        f"error [gate-failed]: staging: {changed} Release 3 failed: Checks failed: ui" in said.err
    )
    assert verdicts(roost)[:2] == [(4, "good", 2), (3, "failed", 1)]
    again = roost("rollback", "staging", "--to", 1)
    assert again.code == 3
    assert "`./run roost releases staging --clear 3`" in again.err


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (["--to", 2], "Release 2 is live already. Good releases: 1."),
        (["--to", 7], "There is no release 7, or its record was dropped; there are 1, 2."),
    ],
)
def test_what_is_no_release_to_go_back_to_changes_nothing(roost, applied, fly, to, told):
    applied("DEBUG")
    applied("INFO")
    fly.asked.clear()

    said = roost("rollback", "staging", *to)

    assert (said.code, said.out) == (3, "")
    assert told in said.err
    assert fly.changes == []


def test_a_rollback_past_a_migration_is_refused_by_its_plan_with_the_way_out(roost, applied, fly):
    applied("INFO", "3.8.8")
    fly.settle("stopped")  # a snapshot of what rests is taken at once
    assert applied("INFO", "3.9.1").code == 0
    fly.asked.clear()

    said = roost("rollback", "staging")

    assert (said.code, said.out) == (3, "")
    assert "Prefect 3.9.1 already migrated the database; 3.8.8 cannot read it" in said.err
    assert (
        "with prefect.version 3.8.8 in the file, `./run roost restore staging --snapshot vs_"
        in said.err
    )
    assert fly.changes == []


def test_a_rollback_that_would_change_nothing_is_refused(roost, rewrite, fly):
    """Somebody put back by hand what the newer release had changed."""
    for memory_mb in (512, 1024):
        rewrite(machine={"memory_mb": memory_mb})
        assert roost("apply", "staging").code == 0
    [machine] = fly.machines.values()
    machine["config"]["guest"]["memory_mb"] = 512
    fly.asked.clear()

    said = roost("rollback", "staging")

    assert said.code == 3
    assert "Release 1 is live already: nothing would change." in said.err
    assert fly.changes == []


# In a workflow


def test_a_rollback_of_a_workflow_hands_on_what_is_live_and_nothing_that_anybody_wrote(
    roost, applied, monkeypatch, tmp_path
):
    for level in ("INFO", "DEBUG"):
        assert applied(level).code == 0
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))

    said = roost("github", "rollback", "--", "staging")

    assert said.code == 0, said.err
    assert "Release 1 is back, and proved." in said.out
    handed = json.loads(outputs_in(tmp_path / "output")["release"])
    assert (handed["live"], handed["origin"]) == (3, 1)
    assert handed["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert {*handed} == {"live", "origin", "commit", "setup"}
    assert listed(roost)[0]["number"] == handed["live"]


def test_a_rollback_of_a_workflow_that_fails_hands_nothing_on(roost, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))

    assert roost("github", "rollback", "--", "staging").code == 3
    assert not (tmp_path / "output").exists()

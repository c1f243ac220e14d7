"""The result of a rehearsal: read from a file that nobody trusts, shown short and safely."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from helpers.plans import HOSTILE
from roost.errors import BadDocumentError, ExitCode
from roost.report.rehearsal import (
    MAX_BYTES,
    MAX_LINE,
    Rehearsal,
    clipped,
    facts,
    read_rehearsal,
    rehearsal_lines,
    verdict,
)

PASSED: dict[str, Any] = {
    "format": 1,
    "environment": "staging",
    "outcome": "passed",
    "word": "",
    "message": "",
    "base": "created",
    "base_seconds": 9.479,
    "apply_seconds": 11.065,
    "silence_seconds": 10.611,
    "gate": [
        {"name": "health", "ok": True, "seconds": 4.968, "detail": ""},
        {"name": "version", "ok": True, "seconds": 0.006, "detail": "Prefect 3.8.8"},
    ],
    "wake": {"suspended_seconds": 0.057, "stopped_seconds": 2.297},
    "memory_mb": {"idle": 195, "peak": 201, "limit": 512},
    "steps": [{"key": "machine/app-1", "summary": "update the machine app-1"}],
    "prefect": "3.8.8",
}
NOTHING: dict[str, Any] = {"wake": {}, "memory_mb": {}, "gate": [], "steps": []}
NO_TIMES = {"base_seconds": None, "apply_seconds": None, "silence_seconds": None}
FAILED: dict[str, Any] = {
    **PASSED,
    **NOTHING,
    "outcome": "failed",
    "word": "gate-failed",
    "message": "Release 2 failed: Checks failed: ui: / answered 404 and no page. The last healthy release was restored and passed the gate.",
    "gate": [
        {"name": "health", "ok": True, "seconds": 2.0, "detail": ""},
        {"name": "ui", "ok": False, "seconds": 0.1, "detail": "/ answered 404 and no page"},
    ],
}
SKIPPED = {
    **PASSED,
    **NOTHING,
    **NO_TIMES,
    "outcome": "skipped",
    "word": "database-elsewhere",
    "message": "Its database runs somewhere else and is not touched from here, so nothing was started; the file was checked.",
}
FIRST = {**PASSED, "base": "none", "base_seconds": None, "silence_seconds": None}
NOTED = {**FIRST, "message": "The base has another app, acme-old."}
SAME = {**FIRST, "base": "same", "wake": {"stopped_seconds": 2.0}}


def rehearsal(document):
    return Rehearsal.model_validate(document)


@pytest.fixture
def write(tmp_path):
    """Write a file of results, and return its path."""

    def write(content):
        path = tmp_path / "staging.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


# Shown


def test_what_people_see_of_each_outcome(check_golden):
    documents = (PASSED, FIRST, NOTED, SAME, FAILED, SKIPPED)

    check_golden("rehearsals.md", "\n".join(rehearsal_lines(rehearsal(d)) for d in documents))


def test_the_terminal_has_the_same_facts():
    found = rehearsal(PASSED)

    assert (
        verdict(found)
        == "passed. The change was applied to the state of the base, with Prefect 3.8.8."
    )
    assert dict(facts(found)) == {
        "base created in": "9.48 s",
        "applied and proved in": "11.06 s",
        "did not answer for": "10.61 s",
        "woke from suspended in": "0.06 s",
        "woke from stopped in": "2.30 s",
        "memory, idle": "195 of 512 MB",
        "memory, at most": "201 of 512 MB",
        "gate": "2 checks passed",
    }


@given(HOSTILE)
def test_text_of_others_brings_neither_links_nor_html_nor_rows(hostile):
    check = {"name": clipped(hostile), "ok": False, "seconds": 0.0, "detail": clipped(hostile)}
    document = {**FAILED, "message": clipped(hostile), "gate": [check]}

    lines = rehearsal_lines(rehearsal(document))

    parsed = MarkdownIt("commonmark").enable("table").parse(lines)
    tokens = [inner for token in parsed for inner in (token, *(token.children or ()))]
    html = {token.content for token in tokens if "html" in token.type}
    assert html <= {"<code>", "</code>"}
    assert not [token for token in tokens if token.type in {"link_open", "image", "heading_open"}]
    assert sum(token.type == "tr_open" for token in tokens) == 4  # the head, and three figures


def test_the_longest_of_all_leaves_room_in_a_comment():
    check = {"name": "n" * MAX_LINE, "ok": False, "seconds": 1.0, "detail": "d" * MAX_LINE}
    document = {**FAILED, "message": "m" * 2000, "gate": [check] * 50}

    lines = rehearsal_lines(rehearsal(document))

    assert len(lines) < 2500
    assert "- and 45 checks more" in lines


# Read


@pytest.mark.parametrize("document", [PASSED, FIRST, NOTED, SAME, FAILED, SKIPPED])
def test_what_was_written_is_read_back(write, document):
    found = read_rehearsal(write(rehearsal(document).document()))

    assert found == rehearsal(document)
    assert found.document().keys() == PASSED.keys()


BAD = {
    "no json": b"{",
    "no text": b"\xff\xfe",
    "empty": b"",
    "a list": [],
    "deep": b"[" * 100_000,
    "another format": {**PASSED, "format": 2},
    "an unknown field": {**PASSED, "hunter2": 1},
    "a name that is a path": {**PASSED, "environment": "../staging"},
    "another outcome": {**PASSED, "outcome": "splendid"},
    "a word that is a sentence": {**PASSED, "word": "all is well"},
    "a long message": {**PASSED, "message": "m" * 2001},
    "half a character": {**PASSED, "message": "\ud800"},
    "no number": {**PASSED, "apply_seconds": float("nan")},
    "no end": {**PASSED, "apply_seconds": float("inf")},
    "before the beginning": {**PASSED, "apply_seconds": -1},
    "a number as text": {**PASSED, "apply_seconds": "1"},
    "digits without end": json.dumps(PASSED).replace("195", "9" * 5000).encode(),
    "much memory": {**PASSED, "memory_mb": {"idle": 2**30}},
    "many checks": {**PASSED, "gate": [PASSED["gate"][0]] * 51},
    "many steps": {**PASSED, "steps": [PASSED["steps"][0]] * 201},
    "a version that is none": {**PASSED, "prefect": "3.8.8 @everyone"},
    "too long": {**PASSED, "message": "m" * MAX_BYTES},
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_does_not_fit_is_one_clear_error_that_shows_nothing_of_it(write, content):
    with pytest.raises(BadDocumentError) as raised:
        read_rehearsal(write(content))

    said = str(raised.value)
    assert said.startswith("staging.json: The result of a rehearsal ")
    assert said.endswith("Run the rehearsal again: its job wrote this file.")
    assert len(said) < 300
    assert "hunter2" not in said
    assert raised.value.exit_code is ExitCode.ERROR


def test_a_file_that_is_not_there_or_has_no_end_is_the_same_error(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")

    for name in ("pipe.json", "nothing.json"):
        with pytest.raises(BadDocumentError, match="cannot be read: no such file"):
            read_rehearsal(tmp_path / name)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(PASSED)), JUNK)
def test_junk_in_a_field_is_refused_or_shown(tmp_path_factory, field, junk):
    path = tmp_path_factory.mktemp("junk") / "staging.json"
    path.write_text(json.dumps({**PASSED, field: junk}))

    try:
        found = read_rehearsal(path)
    except BadDocumentError:
        return
    rehearsal_lines(found).encode()

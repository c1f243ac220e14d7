"""Fly's answers as junk: a sentence and an exit code, never a traceback, and no guess about what is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import examples
from helpers.junk import spoilt
from roost.errors import ExitCode

CODES = {int(code) for code in ExitCode}
LOOKS = ["plan", "status"]
CHANGES = ["apply", "sleep", "wake"]


def assert_told(said):
    """A known exit code; a failure is told with its word, in what any terminal survives."""
    assert said.code in CODES
    assert "Traceback" not in said.err
    assert "[internal]" not in said.err
    assert all(line.isprintable() for text in (said.out, said.err) for line in text.split("\n"))
    if said.code not in {ExitCode.DONE, ExitCode.CHANGES}:
        assert "roost: error [" in said.err


@pytest.fixture
def applied(roost, spoiler):
    """The environment is there already, and its file asks for another size."""
    assert roost("apply", "staging").code == 0
    return spoiler


def spoil_one(data, spoiler):
    """Let Fly answer well, but for one answer that hypothesis spoils."""
    at = data.draw(st.integers(0, 5), label="which answer")

    def spoil(number, document):
        if number != at:
            return document
        return data.draw(spoilt(document), label="answer")

    spoiler.begin(spoil)


@pytest.mark.parametrize("verb", LOOKS)
@given(data=st.data())
@examples(40)
def test_a_look_at_a_spoilt_answer_ends_in_a_sentence(roost, applied, verb, data):
    spoil_one(data, applied)

    assert_told(roost(verb, "staging", *data.draw(st.sampled_from([(), ("--json",)]))))


@pytest.fixture
def watched(applied, monkeypatch):
    """The same, with an app that is no example's."""
    monkeypatch.setattr("roost.environment.starter.EXAMPLES", frozenset())
    return applied


@given(data=st.data())
@examples(20)
def test_a_spoilt_answer_is_a_row_of_the_table_of_all(roost, watched, data):
    spoil_one(data, watched)

    said = roost("status", *data.draw(st.sampled_from([(), ("--json",)])))

    assert said.code in {ExitCode.DONE, ExitCode.ERROR}
    assert said.err == ""
    assert all(line.isprintable() for line in said.out.split("\n"))
    assert "staging" in said.out


@pytest.mark.slow
@given(data=st.data())
@examples(60)
def test_an_apply_that_cannot_read_an_answer_changes_nothing_on_it(roost, applied, data, tmp_path):
    text = (tmp_path / "staging.yaml").read_text()
    bigger = "machine: {memory_mb: 1024}\n"
    if bigger not in text:
        (tmp_path / "staging.yaml").write_text(text + bigger)
    spoil_one(data, applied)

    said = roost("apply", "staging")

    assert_told(said)
    if "[fly-answer]" in said.err:
        assert [call for call in applied.changes_after if not call.endswith("/lease")] == []

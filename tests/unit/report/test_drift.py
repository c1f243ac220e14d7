"""What the schedule found, as the summary of its run."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from helpers.drift_results import (
    BY_HAND,
    ENDED,
    NOT_APPLIED,
    SECRET,
    failed,
    hostile_results,
    orphan,
    result,
    run,
    token,
)
from helpers.markdown import kinds, outside_code, plain_texts
from roost.plan.drift import Cause
from roost.report.drift import DifferenceFound, DriftResult, drift_summary
from roost.report.plan_layout import LIMIT


def test_a_run_that_found_something_of_everything(check_golden):
    results = [
        result(name="quiet"),
        result(BY_HAND, SECRET, name="production"),
        result(BY_HAND, heal=True),
        result(ENDED, name="demo", end=True),
        result(NOT_APPLIED, name="late"),
        result(name="broken", app=None, **failed("fly-forbidden", "Fly answered 403.")),
    ]
    found = run(
        "quiet",
        orphans=[orphan()],
        notes=["Orphans were not looked for in acme: Fly answered 403."],
        token=token(5),
    )

    check_golden("drift-summary.md", drift_summary(results, found))


def test_a_run_that_found_all_clean(check_golden):
    check_golden("drift-summary-clean.md", drift_summary([result()], run()))


@given(st.lists(hostile_results(), max_size=3))
def test_no_text_breaks_out_of_its_place(results):
    summary = drift_summary(results, run())

    assert len(kinds(summary, "heading_open")) == 1 + len(results)
    assert len(kinds(summary, "link_open")) == 0
    assert {token.content for token in kinds(summary, "html_inline")} <= {"<code>", "</code>"}
    for kind in ("image", "fence", "code_block", "html_block", "em_open"):
        assert kinds(summary, kind) == []
    for text in plain_texts(summary):
        assert not re.search(r"[@#]\w", text)
    assert not re.search(r"(?i)https?:|www\.|mailto:", outside_code(summary))


def test_it_is_never_too_long():
    many = [{**BY_HAND, "key": f"machine/app-{n}"} for n in range(200)]
    results = [result(*many, name=f"environment-{n:03}") for n in range(100)]

    assert len(drift_summary(results, run())) < LIMIT + 20_000


def test_a_cause_of_a_later_version_is_unknown():
    found = DifferenceFound.model_validate({**BY_HAND, "cause": "struck by lightning"})

    assert found.cause is Cause.UNKNOWN


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"environment": "x", "state": "odd"}', '{"environment": 1}', "nul"]
)
def test_what_is_no_result_is_refused(text):
    with pytest.raises(ValidationError):
        DriftResult.model_validate_json(text)

"""What counts as shown by a pull request's comment: the renderer's own rows, where people can see them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from helpers.plans import UPGRADE, hostile_plans, planned
from roost.plan.approval import approve, needs
from roost.plan.document import canonical, plan_document
from roost.plan.document_reader import read_plan
from roost.plan.steps import Change, SetSecrets, UpdateMachine
from roost.report.comment import Marker, planned_comment, with_outcomes
from roost.report.outcome import DeployOutcome, Result
from roost.report.plan_section import PlannedEnvironment
from roost.report.rehearsal import CheckFound, Rehearsal, rehearsal_lines
from roost.report.visible import Visible

RUN = "https://github.com/acme/infra/actions/runs/1"
SALT = "https://github.com/acme/infra/pull/7"
CHANGE, COST = planned("staging", {}, UPGRADE)
FIRST, _ = planned("staging", None, {})
ROW = "| `machine/app-1` | "


def read_back(plan):
    """A plan as the job that comments has it."""
    return read_plan(json.loads(canonical(plan_document(plan))), "plans/x.json")[0]


def comment_of(*plans, notes=(), **more):
    """The comment as the workflow writes it."""
    approved = {
        p.environment: approve(json.loads(canonical(plan_document(p))), SALT) for p in plans
    }
    entries = [PlannedEnvironment(read_back(plan), COST, **more) for plan in plans]
    return planned_comment(Marker("a" * 40, approved), entries, notes, RUN)


def hidden(body, plan=CHANGE):
    """What a plan needs and a comment does not show."""
    seen = Visible.of(body)
    return [need.text for need in needs(plan) if not seen.shows(need, read_back(plan))]


def row_of(body):
    """The row of the machine."""
    return next(line for line in body.split("\n") if line.startswith(ROW))


@pytest.mark.parametrize("plan", [FIRST, CHANGE], ids=["first deploy", "change"])
def test_what_the_workflow_writes_is_shown(plan):
    assert list(needs(plan))
    assert hidden(comment_of(plan), plan) == []


@given(hostile_plans())
def test_what_the_workflow_writes_is_shown_whatever_stands_in_it(plan):
    plan = replace(plan, environment="staging", refusals=(), warnings=plan.warnings)

    assert hidden(comment_of(plan), plan) == []


def test_it_is_shown_beside_another_environment_a_rehearsal_notes_and_outcomes():
    other, _ = planned("production", None, {})
    rehearsal = Rehearsal(
        environment="staging",
        outcome="failed",
        word="gate-failed",
        message="It said `<details>` and <!-- more -->.",
        base="none",
        apply_seconds=3.0,
        gate=(CheckFound(name="a | b", ok=False, seconds=1.0, detail="[x]: http://a"),),
        prefect="3.9.0",
    )
    body = comment_of(
        CHANGE, other, notes=["See `this` @you."], rehearsal=rehearsal_lines(rehearsal)
    )
    told = DeployOutcome(
        environment="staging", outcome=Result.FAILED, message="It <b>fell</b>", run_url=RUN
    )

    for written in (body, with_outcomes(body, [told]), body.replace("\n", "\r\n")):
        assert hidden(written) == []
        assert hidden(written, other) == []


def test_a_step_of_which_lines_are_cut_is_shown_by_their_hash():
    settings = {f"PREFECT_SMALL_{n:02}": "x" * 90 for n in range(40)}
    plan, _ = planned("staging", {}, {"prefect": {"settings": settings}})
    body = comment_of(plan)

    assert " more, sha256 " in body
    assert hidden(body, plan) == []
    assert hidden(body.replace(" more, sha256 `", " more, sha256 `0"), plan)


def test_more_steps_than_are_listed_at_once_are_folded_and_shown():
    step = next(step for step in CHANGE.steps if isinstance(step, UpdateMachine))
    steps = tuple(replace(step, key=f"machine/app-{n}", machine=str(n)) for n in range(12))
    plan = replace(CHANGE, steps=steps)
    body = comment_of(plan)

    assert "<details><summary>12 steps</summary>" in body
    assert hidden(body, plan) == []
    assert len(hidden(body.replace("12 steps", "13 steps"), plan)) == 12


def test_wording_that_differs_between_versions_hides_nothing():
    [step] = [step for step in CHANGE.steps if isinstance(step, UpdateMachine)]
    body = comment_of(CHANGE)
    later = replace(CHANGE, steps=(replace(step, summary="in other words", risk=step.risk.NONE),))

    assert hidden(body, later) == []


def test_why_a_machine_boots_for_its_secrets_may_differ():
    """It follows from the step that sets them, and is known only where their values are."""
    [step] = [step for step in CHANGE.steps if isinstance(step, UpdateMachine)]
    boot = Change("secrets", None, "set the secrets A, B")
    booting = replace(CHANGE, steps=(replace(step, changes=(*step.changes, boot)),))

    assert hidden(comment_of(CHANGE), booting) == []
    assert hidden(comment_of(booting), CHANGE) == []


def set_secrets(**sources):
    return SetSecrets(key="secrets/set", summary="set", names=tuple(sources), sources=sources)


def test_a_secret_is_shown_by_its_name_and_its_source_where_it_was_to_be_set_or_not_checked():
    many = {f"S{n:02}": f"env S{n:02}" for n in range(60)}
    to_set = replace(CHANGE, steps=(set_secrets(**many),))
    unchecked = replace(CHANGE, steps=(), unchecked=tuple(many), sources=many)

    for body in (comment_of(to_set), comment_of(unchecked)):
        for name, source in many.items():
            assert hidden(body, replace(CHANGE, steps=(set_secrets(**{name: source}),))) == []
            moved = replace(CHANGE, steps=(set_secrets(**{name: "env OTHER"}),))
            assert hidden(body, moved) == [f"secret/{name}: take it from env OTHER"]


def test_a_secret_that_is_not_named_is_not_shown():
    plan = replace(CHANGE, steps=(set_secrets(HOOK="env HOOK"),))

    assert hidden(comment_of(CHANGE), plan) == ["secret/HOOK: take it from env HOOK"]


FORGED = {
    "nothing at all": lambda body: (
        f"{body.partition(chr(10))[0]}\n## Roost plan\n\nNo environment changes.\n"
    ),
    "in an HTML comment": lambda body: body.replace("### ", "<!--\n### ").rstrip("\n") + "\n-->\n",
    "in a comment of its row": lambda body: body.replace(ROW, f"{ROW}<!-- ") + "-->",
    "folded": lambda body: body.replace("### ", "<details><summary>more</summary>\n\n### "),
    "folded inside of the row": lambda body: body.replace(ROW, f"{ROW}<details>"),
    "folded above all": lambda body: body.replace("\n## ", "\n<details>\n\n## ", 1),
    "folded by the outcome": lambda body: body.replace(
        "\n", "\n<!-- roost-outcome -->\n<details>\n\n<!-- end of roost-outcome -->\n", 1
    ),
    "folded as steps that there are not": lambda body: body.replace(
        "\n| step |", "\n<details><summary>9 steps</summary>\n\n| step |"
    ).replace("\n\nCost", "\n\n</details>\n\nCost"),
    "folded in what only looks like code": lambda body: body.replace(
        "### ", "\\`<details>\\`\n\n### "
    ),
    "folded between doubled backticks": lambda body: body.replace(
        "### ", "``a`<details>`b``\n\n### "
    ),
    "folded beside a cell's end": lambda body: body.replace("### ", "`a | <details> | b`\n\n### "),
    "in a diagram": lambda body: body.replace("\n| step |", "\n~~~mermaid\n| step |"),
    "in a block of code": lambda body: body.replace("\n| step |", "\n```\n| step |"),
    "in the title of a link": lambda body: body.replace(
        "\n| step |", '\n[a]: http://b "\n| step |'
    ),
    "behind a picture": lambda body: body.replace("### ", "![a](http://b)\n\n### "),
    "below other text": lambda body: body.replace("\n## ", "\nAll is well.\n\n## ", 1),
    "below blank lines": lambda body: body.replace("\n### ", "\n" * 500 + "### "),
    "below lines with nothing to see": lambda body: body.replace(
        "### ", "&nbsp;\n\n" * 500 + "### "
    ),
    "below a cell with nothing to see": lambda body: body.replace(ROW, f"{ROW}<br><br><br>a<br>"),
    "below letters with nothing to see": lambda body: body.replace("### ", "\u2800\n\n### "),
    "turned around": lambda body: body.replace(ROW, f"{ROW}\u202e"),
    "in a cell without a column": lambda body: body.replace(ROW, f"{ROW}nothing | none | "),
    "in a table without a column": lambda body: body.replace(
        "| step | what changes | risk |\n|---|---|---|", "| step |\n|---|"
    ),
    "in no table": lambda body: body.replace("|---|---|---|\n", ""),
    "under another environment": lambda body: body.replace("### `staging`", "### `other`"),
    "under another app": lambda body: body.replace("(app `", "(app `x"),
    "under one of two headings": lambda body: body.replace(
        "### `staging`", "### `staging`: no changes\n\n### `staging`"
    ),
    "for another step": lambda body: body.replace(ROW, "| `machine/app-2` | "),
    "with another value": lambda body: body.replace("`1024`", "`512`"),
    "without what else is sent": lambda body: body.replace("all that is sent: sha256 `", "`"),
    "among values that are not": lambda body: body.replace(
        ROW, f"{ROW}a<br>`x`: `1` \u2192 `2`<br>"
    ),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_people_cannot_see_as_the_workflow_writes_it_is_not_shown(forge):
    body = comment_of(CHANGE)
    forged = forge(body)

    assert forged != body
    assert hidden(forged) == [need.text for need in needs(CHANGE)]


def test_a_plan_that_fills_the_comment_stays_below_what_came_of_it():
    """A deploy that runs again looks for it there."""
    settings, count = {f"PREFECT_SMALL_{n:04}": "x" * 58 for n in range(25)}, 17
    plans = []
    for n in range(count):
        plan, _ = planned("staging", {}, {"prefect": {"settings": settings}})
        plans.append(replace(plan, environment=f"staging-{n:02}"))
    body = comment_of(*plans)
    told = [
        DeployOutcome(
            environment=f"staging-{n:02}",
            outcome=Result.FAILED,
            message="It fell. " * 60,
            run_url=RUN,
        )
        for n in range(count)
    ]
    after = with_outcomes(body, told)

    assert 55_000 < len(body) < len(after) <= 65_000
    assert " more: see the runs." in after
    shown = [plan for plan in plans if not hidden(body, plan)]
    assert shown
    assert [plan for plan in plans if not hidden(after, plan)] == shown

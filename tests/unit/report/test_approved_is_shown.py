"""What a merge approves is what its comment shows: two plans that are not the same look different."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from helpers.environments import environment_file, environments
from helpers.plans import IMAGE, UPGRADE, planned
from helpers.pretend_fly import applied
from roost.plan.approval import approve
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import plan_document
from roost.plan.document_reader import read_plan
from roost.plan.ignored import adopt
from roost.plan.live import Live
from roost.plan.steps import Change
from roost.report.comment import (
    ENTIRE_LIMIT,
    Marker,
    Omitted,
    planned_comment,
    read_marker,
    with_outcomes,
)
from roost.report.drift import DriftResult, found_part
from roost.report.outcome import DeployOutcome, Result
from roost.report.plan_rows import FEWEST_CHANGES
from roost.report.plan_section import PlannedEnvironment
from roost.report.wording import MAX_VALUE, shown, shown_whole, spelled
from roost.secret_text import HIDDEN

SALT = "https://github.com/acme/infra/pull/7"
RUN = "https://github.com/acme/infra/actions/runs/1"
LONG = "x" * 150
# Each with what it could be taken for.
ALIKE = [
    *("1", 1, 1.0, True, "true", "True", None, "null", "(none)", "", '""', "[]", [], {}, "{}"),
    *(
        "a",
        " a",
        "a ",
        "a\n",
        "a\n\n",
        "\na",
        "a\t",
        "A",
        "a\u200b",
        "\u202ea",
        "a\u00ad",
        "\uff41",
    ),
    *("a b", "a  b", "a\tb", "a\nb", "a\u00a0b", "a\u2003b", r"a\u0020b", r"a\nb", '"a"', "'a'"),
    *("\u0430", "e\u0301", "\u00e9", "\ufb01", "fi", "\u3164", "\u2800", "\x00", "\x7f", "\x1b[2J"),
    *(
        "\ud800",
        "\ud801",
        "\u05d0",
        "`a`",
        "a|",
        "<b>",
        "&lt;b&gt;",
        "\\",
        "\\\\",
        -0.0,
        0.0,
        0,
        False,
    ),
    *(["a"], ["a", "b"], ["a, b"], '["a"]', {"a": None}, {"a": "None"}, "\u2026", "..."),
    *(
        f"{LONG}a{LONG}",
        f"{LONG}b{LONG}",
        f"{LONG}a{LONG} ",
        f"{LONG}",
        f"{LONG}x",
        [LONG],
        [f"{LONG}x"],
    ),
    shown(LONG),
]


@pytest.mark.parametrize("show", [shown, shown_whole], ids=["short", "whole"])
def test_two_values_that_differ_look_different_and_nothing_is_hidden(show):
    for one, other in combinations(ALIKE, 2):
        assert show(one) != show(other), (one, other)
    for value in ALIKE:
        written = show(value).replace("\u2026", "")
        assert written.isascii(), value
        assert written.isprintable(), value
        assert "  " not in written, value
        assert written == written.strip(), value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=90),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(JSON, JSON)
def test_any_two_json_values_that_differ_look_different(one, other):
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))

    assert shown(one) != shown(other)
    assert shown_whole(one) != shown_whole(other)
    assert len(shown(one)) <= MAX_VALUE + 40


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_two_names_that_differ_look_different(one, other):
    assume(one != other)

    assert spelled(one) != spelled(other)


def test_the_hash_is_the_one_that_a_person_can_make():
    """With `printf %s VALUE | sha256sum`, where the value is a text."""
    digest = hashlib.sha256(b"x" * 200).hexdigest()

    assert shown("x" * 200).endswith(f"(200 characters, sha256 {digest[:24]})")


def comment_of(*documents, notes=(), rehearsal=""):
    """The comment about plans, as the job that comments writes it."""
    documents = [json.loads(json.dumps(document)) for document in documents]
    entries = []
    for document in documents:
        plan, cost, digest = read_plan(document, "plans/x.json")
        entries.append(PlannedEnvironment(plan, cost, digest, rehearsal=rehearsal))
    approved = {document["environment"]: approve(document, SALT) for document in documents}
    return planned_comment(Marker("a" * 40, approved), entries, notes, RUN)


def visible(comment):
    """What somebody sees of a comment who compares no digest of a whole plan."""
    page = MarkdownIt("commonmark").enable("table").render(comment.partition("\n")[2])
    return re.sub(r"\b[0-9a-f]{64}\b", "", page)


def differ(one, other):
    """Assert that comments that approve something else look otherwise."""
    first, second = comment_of(one), comment_of(other)
    approved = [read_marker(body).approved["staging"] for body in (first, second)]
    seals = [(found.seals, found.secrets) for found in approved]
    assert (seals[0] == seals[1]) or visible(first) != visible(second)


@st.composite
def plans(draw):
    """A plan of an environment: its first, or from another one; sometimes with a volume or secrets at hand."""

    def drawn():
        return desired_state(environment_file(draw(environments())), IMAGE.format(version="3.8.8"))

    before = draw(st.none() | st.just("applied"))
    live = applied(drawn()) if before else Live()
    return diff(drawn(), live)


@given(plans(), plans())
def test_plans_that_are_not_sealed_alike_do_not_look_alike(one, other):
    assume(not one.refusals and not other.refusals)

    differ(plan_document(one), plan_document(other))


FIELDS = [
    {"prefect": {"settings": {"PREFECT_X": "on"}}},
    {"prefect": {"settings": {"PREFECT_X": "on "}}},
    {"prefect": {"settings": {"PREFECT_Y": "on"}}},
    {"prefect": {"settings": {"PREFECT_X": f"{LONG}on"}}},
    {"prefect": {"settings": {"PREFECT_X": f"{LONG}no"}}},
    {"scaling": {"idle_after": "10m"}},
    {"scaling": {"concurrency": {"soft_limit": 7}}},
    {"database": {"backend": "sqlite", "snapshot_retention_days": 7}},
    {"app": "acme-other"},
    {"organization": "acme"},
    {},
]


@pytest.mark.parametrize(("one", "other"), list(combinations(FIELDS, 2)))
def test_files_that_differ_in_one_field_do_not_look_alike_when_first_deployed(one, other):
    differ(*(plan_document(planned("staging", None, fields)[0]) for fields in (one, other)))


@pytest.mark.parametrize(("one", "other"), list(combinations(FIELDS[:7], 2)))
def test_what_is_live_already_and_sent_again_is_sealed_and_has_its_hash(one, other):
    """The file and live agree on a field, so that it is no change; the config that is sent holds it."""
    differ(
        *(
            plan_document(planned("staging", fields, {**fields, "machine": {"memory_mb": 1024}})[0])
            for fields in (one, other)
        )
    )


def test_secrets_that_may_be_set_are_named_where_nothing_else_changes():
    files = [{"secrets": ["PREFECT_SERVER_API_AUTH_STRING", name]} for name in ("ONE", "OTHER")]

    differ(*(plan_document(planned("staging", fields, fields)[0]) for fields in files))


@given(JSON, JSON, st.integers(0, 40))
def test_a_change_from_or_to_another_value_looks_different(one, other, place):
    """Also where it is past the last line that is shown."""
    plan, _ = planned("staging", {}, UPGRADE)
    [step] = plan.steps
    documents = []
    for value in (one, other):
        changes = [Change(f"env.X_{n}", None, n) for n in range(41)]
        changes[place] = Change(f"env.X_{place}", "old", value)
        documents.append(
            plan_document(replace(plan, steps=(replace(step, changes=tuple(changes)),)))
        )

    differ(*documents)


@given(st.data())
def test_every_field_that_a_step_sends_is_seen(data):
    """One field of one step is another one, whatever it is: the kind's own fields too."""
    plan, _ = planned("staging", data.draw(st.sampled_from([None, {}])), UPGRADE)
    one = json.loads(json.dumps(plan_document(plan)))
    other = copy.deepcopy(one)
    step = data.draw(st.sampled_from([s for s in other["steps"] if s["kind"] != "set-secrets"]))
    known = {"kind", "summary", "risk", "changes", "key", "skip_launch", "current_version"}
    name = data.draw(st.sampled_from(sorted({*step} - known)))
    step[name] = data.draw(JSON)

    differ(one, other)


def asking(count, **more):
    named = {f"PREFECT_SETTING_{number:02}": str(number) for number in range(count)}
    return {"prefect": {"settings": {**named, **more}}}


def test_the_setting_after_the_last_line_leaves_its_hash():
    bodies = [
        comment_of(plan_document(planned("staging", {}, asking(31, PREFECT_Z=value))[0]))
        for value in ("one", "two")
    ]

    for body in bodies:
        assert re.search(r"<br>and 2 more, sha256 `[0-9a-f]{24}`", body)
        assert "PREFECT_SETTING_29" in body
        assert f"[the summary of the run]({RUN}) shows it in full" in body
    assert visible(bodies[0]) != visible(bodies[1])


def test_what_somebody_set_by_hand_is_no_part_of_a_hash():
    """It may be a password, and a hash of a short one tells it."""
    live = applied(desired_state(environment_file(name="staging"), IMAGE.format(version="3.8.8")))
    bodies = []
    for value in ("hunter2", "hunter3"):
        [machine] = live.machines
        env = {**machine.config["env"], "MY_PASSWORD": value}
        spoilt = machine.model_copy(update={"config": {**machine.config, "env": env}})
        desired = desired_state(environment_file(name="staging"), IMAGE.format(version="3.8.8"))
        bodies.append(comment_of(plan_document(diff(desired, replace(live, machines=(spoilt,))))))

    assert HIDDEN in bodies[0]
    assert bodies[0] == bodies[1]


def test_what_somebody_else_sets_and_the_file_leaves_alone_stands_in_no_plan():
    """It is sent again with the whole config, and may be a password all the same."""
    rule = {"field": "env.PREFECT_TOKEN", "reason": "set by hand"}
    fields = {"machine": {"memory_mb": 1024}, "drift": {"ignore": [rule]}}
    live = applied(desired_state(environment_file(name="staging"), IMAGE.format(version="3.8.8")))
    [machine] = live.machines
    documents = []
    for value in ("hunter2", "hunter3"):
        env = {**machine.config["env"], "PREFECT_TOKEN": value}
        theirs = machine.model_copy(update={"config": {**machine.config, "env": env}})
        desired = desired_state(
            environment_file(fields, name="staging"), IMAGE.format(version="3.8.8")
        )
        plan = diff(
            adopt(desired, replace(live, machines=(theirs,))).desired,
            replace(live, machines=(theirs,)),
        )
        [step] = plan.steps
        assert step.config["env"]["PREFECT_TOKEN"] == value
        documents.append(plan_document(plan))

    assert documents[0] == documents[1]
    assert "hunter" not in json.dumps(documents)


def test_a_difference_that_somebody_heals_is_told_as_a_plan_tells_it():
    """The button puts back what the issue shows: names and values that differ look different there, too."""
    rows = [
        found_part(DriftResult.model_validate(drifted(key, live)), 9_000)
        for key in (f"machine/{LONG * 4}a", f"machine/{LONG * 4}b", "machine/app-1")
        for live in ("a b", "a  b", f"{LONG}a", f"{LONG}b", 1, "1")
    ]

    assert len({*rows}) == len(rows)


def drifted(key, live):
    """What the schedule found of an environment in which one thing differs."""
    difference = {
        "key": key,
        "what": "",
        "cause": "changed by hand",
        "field": "env.X",
        "live": live,
    }
    return {"environment": "staging", "state": "drift", "differences": [difference]}


# What there is no room for


def many(count, before=None, after=None):
    """Plans of many environments."""
    document = plan_document(*planned("staging", before, after or {}))
    return [{**document, "environment": f"env-{n:03}"} for n in range(count)]


def named_in_list(body):
    """The environments that the comment lists as not approved."""
    return re.findall(r"^\| `([a-z0-9-]+)` \| [^|]* \| `[0-9a-f]{64}` \|$", body, re.MULTILINE)


@pytest.mark.parametrize("before", [None, {}], ids=["new", "changed"])
def test_of_120_environments_each_is_approved_or_named_as_not_approved(before):
    documents = many(120, before, UPGRADE)
    body = comment_of(*documents)

    marker = read_marker(body)
    whole = re.findall(r"^### `(env-\d+)`", body, re.MULTILINE)
    assert sorted(marker.approved) == whole
    assert len(whole) >= 20
    assert sorted({*whole, *named_in_list(body)}) == [d["environment"] for d in documents]
    assert not {*whole} & {*named_in_list(body)}
    assert marker.omitted == dict.fromkeys(named_in_list(body), Omitted.LONG)
    assert "merging does not approve them" in body
    assert f"[the summary of the run]({RUN})" in body
    assert len(body) <= ENTIRE_LIMIT


def test_outcomes_never_push_out_what_is_approved():
    """Else a deploy that failed could not be run again."""
    body = comment_of(*many(120, {}, UPGRADE))
    approved = read_marker(body).approved
    bad = [
        DeployOutcome(
            environment=f"env-{n:03}", outcome=Result.FAILED, message="x-<>" * 200, run_url=RUN
        )
        for n in range(120)
    ]

    ended = with_outcomes(body, bad)
    again = with_outcomes(ended, bad[:3])

    for found in (ended, again):
        assert len(found) <= ENTIRE_LIMIT
        marker = read_marker(found)
        assert marker.approved == approved
        assert marker.omitted == read_marker(body).omitted
        assert len(marker.outcomes) == 120
        assert "## 120 environments of 120 not deployed" in found
    assert re.search(r"and \d+ environments more: see the runs", ended)


def test_an_environment_that_is_too_long_does_not_push_out_the_next():
    giant = plan_document(planned("staging", None, {})[0])
    giant["environment"] = "a-giant"
    giant["warnings"] = ["x" * 15_000] * 5
    body = comment_of(giant, *many(2))

    assert sorted(read_marker(body).approved) == ["env-000", "env-001"]
    assert named_in_list(body) == ["a-giant"]
    assert read_marker(body).omitted == {"a-giant": Omitted.LONG}


def test_a_rehearsal_gives_way_to_the_plan():
    """The pull request's own code wrote it, so it cannot push out what is to be approved."""
    body = comment_of(*many(20, {}, UPGRADE), rehearsal="**Rehearsal** passed. " + "x" * 5000)

    assert len(read_marker(body).approved) == 20
    assert "xxxx" not in body
    assert body.count("there is no room for it here") == 20


def test_steps_are_shortened_before_environments_are_left_out():
    body = comment_of(*many(25, None, asking(30)))

    assert len(read_marker(body).approved) == 25
    rows = re.findall(r"^\| `machine/app-1` .*$", body, re.MULTILINE)
    assert all(row.count("<br>") == FEWEST_CHANGES + 1 for row in rows)
    assert all(re.search(r"and \d+ more, sha256", row) for row in rows)


def test_quiet_environments_whose_secrets_there_is_no_room_to_name_are_not_approved():
    names = [f"SECRET_{n:03}_{'X' * 60}" for n in range(40)]
    fields = {"secrets": ["PREFECT_SERVER_API_AUTH_STRING", *names]}
    body = comment_of(*many(40, fields, fields))

    marker = read_marker(body)
    assert marker.approved
    assert marker.omitted
    for name in marker.approved:
        section = body.split(f"### `{name}`")[1].split("### ")[0]
        assert all(f"`{secret}` from the variable of the same name" in section for secret in names)
    assert named_in_list(body) == sorted(marker.omitted)

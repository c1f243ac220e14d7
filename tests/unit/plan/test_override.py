"""An override: what it changes, how long it counts, how its text is read, and what a plan makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.environments import POSTGRES, environment_file, environments
from helpers.pretend_fly import PretendFly, applied, with_machine
from roost.environment import rules
from roost.environment.scale import scale_faults
from roost.plan.desired import OVERRIDE_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.effective import cleared, current_override, effective, overridden
from roost.plan.override import LONGEST, Override, decode, marked, noted
from roost.plan.releases import by_number, draft, records_in
from roost.plan.scope_check import beside
from roost.plan.steps import CreateMachine, ReconcileObjects

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=4)
AWAKE = {"min_machines_running": 1}


def override(fields=AWAKE, **changes):
    given = {"until": LATER, "reason": "demo", "who": "ada", "since": NOW, **changes}
    return Override(fields=dict(fields), **given)


def desired_by(chosen):
    return marked(desired_state(chosen.file, IMAGE), chosen.override)


@pytest.fixture
def several(monkeypatch):
    """Let several machines through, as they were before, and are on servers from then."""
    left = tuple(rule for rule in rules.RULES if rule is not rules.postgres_is_one_machine)
    monkeypatch.setattr(rules, "RULES", left)


def live_with(file, wanted):
    """Return what Fly has after an override was set on an applied environment."""
    fly = PretendFly(applied(desired_state(file, IMAGE)))
    fly.carry_out(diff(desired_by(overridden(file, fly.live, wanted)), fly.live).steps)
    return fly.live


def plan_at(file, live, now):
    chosen = effective(file, live, now)
    return chosen.annotate(diff(desired_by(chosen), live))


def test_an_override_is_in_force_until_its_time_and_the_plan_says_so():
    file = environment_file()
    live = live_with(file, override())

    plan = plan_at(file, live, LATER - timedelta(seconds=1))

    assert (plan.steps, plan.refusals) == ((), ())
    assert plan.warnings == (
        "Override until 2026-11-24 16:00 UTC by ada (demo): min_machines_running 1 instead of 0.",
    )


def test_an_override_whose_time_is_over_is_ended_by_the_next_plan_and_never_in_silence():
    file = environment_file()
    live = live_with(file, override())

    plan = plan_at(file, live, LATER)

    [step] = plan.steps
    assert [(c.field, c.old, c.new) for c in step.changes] == [
        ("override", "min_machines_running 1 until 2026-11-24 16:00 UTC", None),
        ("env.ROOST_IDLE_ACTION", "off", "suspend"),
        ("services[0].min_machines_running", 1, 0),
    ]
    assert OVERRIDE_KEY not in step.config["metadata"]
    assert "The override by ada (demo) ended at 2026-11-24 16:00 UTC" in plan.warnings[0]


def test_a_change_of_the_file_keeps_an_override_while_it_lasts():
    before = environment_file()
    after = environment_file(prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})
    live = live_with(before, override())

    [step] = plan_at(after, live, NOW).steps

    assert [change.field for change in step.changes] == ["env.PREFECT_LOGGING_LEVEL"]
    assert decode(step.config["metadata"][OVERRIDE_KEY]) == override()
    assert step.config["services"][0]["min_machines_running"] == 1


def test_an_override_that_is_only_made_longer_boots_nothing():
    file = environment_file()
    longer = override(until=LATER + timedelta(hours=1))
    live = live_with(file, override())

    [step] = diff(desired_by(overridden(file, live, longer)), live).steps

    assert (step.kind, step.risk.word) == ("update-metadata", "none")
    assert decode(step.values[OVERRIDE_KEY]) == longer


def test_clearing_an_override_that_asks_for_what_the_file_asks_boots_nothing():
    file = environment_file(scaling={"min_machines_running": 1})
    live = live_with(file, override())

    [step] = diff(desired_by(cleared(file, live)), live).steps

    assert (step.kind, step.values) == ("update-metadata", {OVERRIDE_KEY: ""})


def test_one_override_takes_the_place_of_another_and_says_whose():
    file = environment_file()
    live = live_with(file, override())
    more = override({"memory_mb": 1024}, who="grace", reason="big flows")

    chosen = overridden(file, live, more)

    assert chosen.file.environment.scaling.min_machines_running == 0
    assert chosen.notes[1] == (
        "It replaces the override by ada (demo): min_machines_running 1 until 2026-11-24 16:00 UTC."
    )


@pytest.mark.usefixtures("several")
def test_more_machines_each_carry_the_override_and_its_end_removes_them():
    file = environment_file(POSTGRES)
    live = live_with(file, override({"count": 3}))

    steps = plan_at(file, live, LATER).steps

    assert len(live.machines) == 3
    assert {m.metadata[OVERRIDE_KEY] for m in live.machines} == {override({"count": 3}).encoded()}
    assert [step.kind for step in steps] == [
        "update-metadata",
        "destroy-machine",
        "destroy-machine",
    ]


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("done", range(4))
@pytest.mark.parametrize("clears", [True, False], ids=["cleared", "set"])
def test_what_was_cut_short_between_two_machines_goes_on_to_where_it_was_going(done, clears):
    file = environment_file(POSTGRES, scaling={"count": 3})
    bare = applied(desired_state(file, IMAGE))
    live = live_with(file, override({"memory_mb": 1024})) if clears else bare
    wish = cleared(file, live) if clears else overridden(file, live, override({"memory_mb": 1024}))
    goal = desired_by(wish)
    fly = PretendFly(live)
    for step in diff(goal, live).steps[:done]:
        fly.do(recorded(step, draft(goal, live, ())))

    left = plan_at(file, fly.live, NOW).steps

    expected = diff(goal, fly.live).steps if done else ()
    assert left == expected


def recorded(step, release):
    """Return a step as it is carried out: with the record of its release."""
    metadata = {**step.config["metadata"], release.key: release.encoded()}
    return replace(step, config={**step.config, "metadata": metadata})


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        (environment_file(), {"count": 2}, "SQLite serves one machine"),
        (environment_file(POSTGRES), {"count": 2}, "several machines need a Redis between them"),
        (environment_file(), {"memory_mb": 4096}, "Fly suspends machines of up to 2048 MB"),
    ],
)
def test_a_file_that_does_not_go_with_the_override_any_more_is_refused(file, fields, words):
    other = environment_file(
        POSTGRES, scaling={"autostop": "stop"}, machine={"size": "shared-cpu-2x"}
    )
    live = live_with(other, override(fields))

    plan = plan_at(file, live, NOW)

    told = [(refusal.key, refusal.what) for refusal in plan.refusals if words in refusal.what]
    assert told
    assert told[0][0] == "override"
    assert "roost scale staging --clear" in plan.refusals[0].advice


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{}",
        "[" * 5000,
        json.dumps({**override().document(), "more": 1}),
        json.dumps({**override().document(), "fields": {}}),
        json.dumps({**override().document(), "fields": {"memory_mb": 600}}),
        json.dumps({**override().document(), "fields": {"memory_mb": 512, "region": "ams"}}),
        json.dumps({**override().document(), "fields": {"count": True}}),
        json.dumps({**override().document(), "until": "2026-11-24T16:00:00"}),
        json.dumps({**override().document(), "until": "tomorrow"}),
        json.dumps({**override().document(), "until": "2036-11-24T16:00:00Z"}),
        json.dumps({**override().document(), "reason": ""}),
        json.dumps({**override().document(), "reason": "x" * 5000}),
        json.dumps({**override().document(), "who": None}),
    ],
)
def test_what_is_no_override_is_ignored_and_said(text):
    file = environment_file()
    live = applied(desired_state(file, IMAGE))
    config = live.machines[0].config
    live = with_machine(
        live, config={**config, "metadata": {**config["metadata"], OVERRIDE_KEY: text}}
    )

    plan = plan_at(file, live, NOW)

    assert plan.steps == ()
    assert len(plan.warnings) == bool(text)
    assert all("carries an override that cannot be read" in warning for warning in plan.warnings)


def test_an_override_that_begins_in_the_future_would_last_too_long_and_is_removed():
    file = environment_file()
    since = NOW + timedelta(days=400)
    live = live_with(file, override(since=since, until=since + timedelta(hours=1)))

    plan = plan_at(file, live, NOW)

    assert "begins in the future; it is removed." in plan.warnings[0]
    assert OVERRIDE_KEY not in plan.steps[0].config["metadata"]


KEYS = st.sampled_from(["fields", "until", "reason", "who", "since", "count", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
)


@given(ANYTHING)
def test_anything_at_all_is_read_as_an_override_or_as_none(value):
    text = json.dumps(value)
    found = decode(text)

    assert found is None or found.document() == value


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["shared-cpu-1x", "performance-2x"]),
        "memory_mb": st.sampled_from([512, 1024]),
        "count": st.integers(0, 20),
        "min_machines_running": st.integers(0, 20),
    },
).filter(bool)


@given(FIELDS, st.text(min_size=1, max_size=200), st.timedeltas(timedelta(seconds=1), LONGEST))
def test_an_override_is_read_as_it_was_written(fields, reason, duration):
    until = (NOW + duration).replace(microsecond=0)
    wanted = override(fields, reason=reason, until=max(until, NOW + timedelta(seconds=1)))

    assert decode(wanted.encoded()) == wanted


@st.composite
def scaled(draw):
    """Return an environment, and an override of it without the fields that it cannot have."""
    file, fields = environment_file(draw(environments())), draw(FIELDS)
    while faults := scale_faults(file.environment, fields):
        wrong = {name for names, _ in faults for name in names}
        fields = {name: value for name, value in fields.items() if name not in wrong}
    assume(fields and fields.get("count") != 0)
    return file, fields


@given(scaled(), st.sampled_from(["started", "suspended"]))
def test_whatever_is_overridden_one_apply_sets_it_and_one_ends_it(scene, state):
    file, fields = scene
    wanted = override(fields)
    fly = PretendFly(applied(desired_state(file, IMAGE), state))

    plan = diff(desired_by(overridden(file, fly.live, wanted)), fly.live)
    fly.carry_out(plan.steps)

    assert plan.refusals == ()
    assert beside(plan, fields) == ()
    assert current_override(file, fly.live) == (wanted if fly.live.machines else None)
    assert plan_at(file, fly.live, NOW).steps == ()
    end = plan_at(file, fly.live, LATER)
    fly.carry_out(end.steps)
    assert beside(end, fields) == ()
    assert plan_at(file, fly.live, LATER).steps == ()
    assert plan_at(file, fly.live, LATER).warnings == ()


def test_the_record_of_what_runs_learns_of_an_override_that_boots_nothing():
    file = environment_file()
    live = live_with(file, override())
    desired = desired_by(effective(file, live, NOW))
    release = draft(desired, live, ())
    metadata = {**live.machines[0].metadata, release.key: release.encoded()}
    longer = override(until=LATER + timedelta(hours=1))

    written = noted(metadata, {OVERRIDE_KEY: longer.encoded()})
    gone = noted(metadata, {OVERRIDE_KEY: ""})

    assert _recorded_override(written) == longer
    assert _recorded_override(gone) is None
    assert by_number(records_in(written))[-1].identity == release.identity


def _recorded_override(metadata):
    [release] = by_number(records_in(metadata))
    return decode(release.config["metadata"].get(OVERRIDE_KEY, ""))


def test_an_environment_without_a_machine_has_no_override():
    file = environment_file()
    live = replace(applied(desired_state(file, IMAGE)), machines=())

    assert current_override(file, live) is None


def test_the_objects_of_prefect_that_come_with_a_new_machine_are_part_of_scaling_up():
    """A new machine has no record of them, and at count 0 no apply could set them before."""
    create = CreateMachine(
        key="machine/app-1", summary="create", name="app-1", region="iad", config={}
    )
    objects = ReconcileObjects(key="prefect/objects", summary="set", path="x.yaml", objects={})
    desired = desired_state(environment_file(), IMAGE)
    plan = diff(desired, applied(desired))
    alone, both = replace(plan, steps=(objects,)), replace(plan, steps=(create, objects))

    assert beside(both, {"count"}) == ()
    assert beside(alone, {"count"}) == ("prefect/objects",)

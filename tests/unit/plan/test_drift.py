"""Why each difference is there: the file, a hand, an override's end, or an apply cut short."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.histories import History
from helpers.pretend_fly import applied
from roost.environment import rules
from roost.environment.model import AUTH_SECRET
from roost.fly.models import SecretInfo
from roost.plan.desired import OVERRIDE_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.drift import Cause, find_drift, may_heal
from roost.plan.effective import effective, overridden
from roost.plan.live import Live
from roost.plan.override import Override, marked
from roost.plan.releases import Verdict, draft, releases_on

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=4)
SEVERAL = environment_file(POSTGRES, scaling={"count": 2})


def released(desired, verdict=Verdict.GOOD, **record):
    """Return what Fly has after an apply: its record stands on each machine."""
    live = applied(desired)
    release = replace(draft(desired, live, ()).with_verdict(verdict), **record)
    return changed(live, lambda config: config["metadata"].update({release.key: release.encoded()}))


def changed(live, change):
    """Return the live state with every machine's config changed."""
    machines = []
    for machine in live.machines:
        config = copy.deepcopy(machine.config)
        change(config)
        machines.append(machine.model_copy(update={"config": config}))
    return replace(live, machines=tuple(machines))


def causes(file, live, now=NOW):
    """Return what differs and why, as (key, field, cause)."""
    chosen = effective(file, live, now)
    desired = marked(desired_state(chosen.file, IMAGE), chosen.override)
    found = find_drift(diff(desired, live), desired, live, chosen.ended)
    return [(d.key, d.field, d.cause) for d in found]


def with_override(file, fields):
    override = Override(fields, LATER, "demo", "ada", NOW)
    chosen = overridden(file, Live(), override)
    return released(marked(desired_state(chosen.file, IMAGE), override))


def healable(file, live):
    desired = desired_state(file, IMAGE)
    return may_heal(find_drift(diff(desired, live), desired, live, None))


def without(live, *names):
    return replace(live, machines=tuple(m for m in live.machines if m.name not in names))


def test_what_was_applied_has_no_drift():
    assert causes(SEVERAL, released(desired_state(SEVERAL, IMAGE))) == []


def test_without_a_record_nobody_knows_why():
    live = changed(applied(desired_state(SEVERAL, IMAGE)), lambda c: c["guest"].update(cpus=2))

    assert {cause for *_, cause in causes(SEVERAL, live)} == {Cause.UNRECORDED}


def test_a_machine_too_many_without_a_record_is_removed_by_nobody_but_a_person():
    live = applied(desired_state(SEVERAL, IMAGE))

    assert causes(environment_file(POSTGRES), live) == [
        (f"machine/app-2/{live.machines[1].id}", "", Cause.UNRECORDED)
    ]


def test_an_app_on_which_nothing_was_ever_applied_is_no_drift_to_heal():
    """Such as one that was made for its deploy token, with its secrets set already."""
    live = replace(applied(desired_state(SEVERAL, IMAGE)), machines=(), ips=(), volumes=())

    assert {cause for *_, cause in causes(SEVERAL, live)} == {Cause.NOT_APPLIED, Cause.UNKNOWN}
    assert not healable(SEVERAL, live)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.PENDING])
def test_a_file_that_moved_on_after_a_failure_is_not_applied_by_healing(verdict):
    """What is asked for now is neither what failed nor what was to be put back."""
    tried, now = (environment_file(scaling={"idle_after": after}) for after in ("1h", "2h"))
    live = released(desired_state(tried, IMAGE), verdict, number=2)
    good = History().went(desired_state(environment_file(), IMAGE)).releases[0]
    back_to = 1 if verdict is Verdict.PENDING else 0
    [machine] = live.machines
    [failed] = [replace(r, back_to=back_to) for r in releases_on([machine])]
    records = {good.key: good.encoded(), failed.key: failed.encoded()}
    live = changed(live, lambda config: config["metadata"].update(records))

    assert {c for _, field, c in causes(now, live) if field} == {Cause.NOT_APPLIED}
    assert not healable(now, live)


def test_a_variable_that_somebody_added_is_by_hand_and_its_value_is_not_shown():
    file = environment_file()
    live = changed(released(desired_state(file, IMAGE)), lambda c: c["env"].update(TOKEN="hunter2"))
    desired = desired_state(file, IMAGE)

    [found] = find_drift(diff(desired, live), desired, live, None)

    assert (found.field, found.cause) == ("env.TOKEN", Cause.BY_HAND)
    assert "hunter2" not in str(found.document())


def test_a_machine_that_is_missing_was_removed_by_hand_or_asked_for_since():
    live = released(desired_state(SEVERAL, IMAGE))
    more = environment_file(POSTGRES, scaling={"count": 3})

    assert causes(SEVERAL, without(live, "app-2")) == [("machine/app-2", "", Cause.BY_HAND)]
    assert causes(more, live) == [("machine/app-3", "", Cause.NOT_APPLIED)]


def test_a_machine_that_is_too_many_was_added_by_hand_or_is_asked_for_no_more():
    live = released(desired_state(SEVERAL, IMAGE))
    one = environment_file(POSTGRES)
    twin = live.machines[1].model_copy(update={"id": "m9999"})
    third = live.machines[1].model_copy(update={"id": "m9999", "name": "app-3"})
    config = {**third.config, "metadata": {**third.metadata, "roost_slot": "app-3"}}
    third = third.model_copy(update={"config": config})

    assert [c for *_, c in causes(one, live)] == [Cause.NOT_APPLIED]
    for extra in (twin, third):
        found = causes(SEVERAL, replace(live, machines=(*live.machines, extra)))
        assert [cause for *_, cause in found] == [Cause.BY_HAND]


def test_an_override_that_ended_explains_what_it_changed_and_nothing_else():
    file = environment_file()
    live = with_override(file, {"memory_mb": 1024})
    live = changed(live, lambda c: c["services"][0]["concurrency"].update(soft_limit=5))

    assert {field: cause for _, field, cause in causes(file, live, LATER)} == {
        "override": Cause.ENDED,
        "guest.memory_mb": Cause.ENDED,
        "services[0].concurrency.soft_limit": Cause.BY_HAND,
    }


def test_more_machines_of_an_override_that_ended_are_its_own(monkeypatch):
    """Set when several machines were let through; they are on servers from then."""
    left = tuple(rule for rule in rules.RULES if rule is not rules.postgres_is_one_machine)
    monkeypatch.setattr(rules, "RULES", left)
    file = environment_file(POSTGRES)
    live = with_override(file, {"count": 2})

    assert [cause for *_, cause in causes(file, live, LATER)] == [Cause.ENDED, Cause.ENDED]


def test_an_override_that_somebody_took_away_has_ended_too():
    file = environment_file()
    live = with_override(file, {"memory_mb": 1024})
    live = changed(live, lambda config: config["metadata"].pop(OVERRIDE_KEY))

    assert causes(file, live) == [("machine/app-1", "guest.memory_mb", Cause.ENDED)]


def test_what_failed_and_was_not_put_back_to_the_end_was_cut_short():
    before, after = environment_file(), environment_file(scaling={"idle_after": "1h"})
    good = draft(desired_state(before, IMAGE), applied(desired_state(before, IMAGE)), ())
    live = released(desired_state(after, IMAGE), Verdict.FAILED, number=2)
    good = good.with_verdict(Verdict.GOOD)
    live = changed(live, lambda config: config["metadata"].update({good.key: good.encoded()}))

    assert {cause for *_, cause in causes(after, live)} == {Cause.CUT_SHORT}


def test_a_release_that_nobody_proved_was_cut_short():
    live = released(desired_state(SEVERAL, IMAGE), Verdict.PENDING)

    assert causes(SEVERAL, live) == [("release/1", "", Cause.CUT_SHORT)]


def test_a_first_release_that_failed_is_not_proved_again_and_again_by_healing():
    live = released(desired_state(SEVERAL, IMAGE), Verdict.FAILED, why="Checks failed: ui: 404.")

    assert causes(SEVERAL, live) == [("release/1", "", Cause.FAILED)]
    assert not healable(SEVERAL, live)
    [step] = diff(desired_state(SEVERAL, IMAGE), live).steps
    assert step.summary == "prove release 1 again, which failed: Checks failed: ui: 404"


def test_a_machine_on_a_volume_that_is_left_is_made_by_nobody_but_a_person():
    """Of two volumes the one from before a restore may be the one that is left."""
    file = environment_file()
    live = replace(released(desired_state(file, IMAGE)), machines=())

    assert Cause.NO_MACHINE in {cause for *_, cause in causes(file, live)}
    assert not healable(file, live)


def test_a_secret_is_removed_by_healing_only_where_the_last_apply_would_have_removed_it():
    """Fly gives it never back, and whether it may go is in the file that nobody applied."""
    pruned, kept = environment_file(prune=True), environment_file()
    extra = SecretInfo(name="EXTRA", digest="d")

    for applied_file, cause in ((pruned, Cause.BY_HAND), (kept, Cause.NOT_APPLIED)):
        live = released(desired_state(applied_file, IMAGE))
        live = replace(live, secrets=(*live.secrets, extra))
        assert {k: c for k, _, c in causes(pruned, live)}["secret/EXTRA"] is cause


def test_a_server_that_must_run_and_does_not_is_no_change_by_hand():
    file = environment_file(scaling={"min_machines_running": 1})
    live = released(desired_state(file, IMAGE))
    live = replace(
        live, machines=tuple(m.model_copy(update={"state": "stopped"}) for m in live.machines)
    )

    assert causes(file, live) == [("machine/app-1", "state", Cause.NOT_RUNNING)]


def test_a_secret_that_is_missing_was_removed_by_hand_or_declared_since():
    file = environment_file()
    live = released(desired_state(file, IMAGE))
    more = environment_file(secrets=[AUTH_SECRET, "HOOK"])

    gone = {key: cause for key, _, cause in causes(file, replace(live, secrets=()))}
    new = {key: cause for key, _, cause in causes(more, live)}

    assert gone[f"secret/{AUTH_SECRET}"] is Cause.BY_HAND
    assert new["secret/HOOK"] is Cause.NOT_APPLIED


def test_a_secret_that_the_file_does_not_know_is_drift_where_it_is_pruned():
    file = environment_file(prune=True)
    live = released(desired_state(file, IMAGE))
    live = replace(live, secrets=(*live.secrets, SecretInfo(name="EXTRA", digest="d")))

    assert {k: c for k, _, c in causes(file, live)}["secret/EXTRA"] is Cause.BY_HAND


def test_what_is_refused_needs_a_person_and_is_not_healed():
    file = environment_file()
    live = released(desired_state(file, IMAGE))
    machines = tuple(m.model_copy(update={"config": None}) for m in live.machines)
    desired = desired_state(file, IMAGE)
    live = replace(live, machines=machines)

    found = find_drift(diff(desired, live), desired, live, None)

    assert Cause.REFUSED in {difference.cause for difference in found}
    assert not may_heal(found)


@pytest.mark.parametrize("cause", Cause)
def test_only_what_was_applied_once_is_healed(cause):
    live = released(desired_state(SEVERAL, IMAGE), Verdict.PENDING)
    desired = desired_state(SEVERAL, IMAGE)
    [found] = find_drift(diff(desired, live), desired, live, None)

    assert may_heal((replace(found, cause=cause),)) is (
        cause
        not in {
            Cause.NOT_APPLIED,
            Cause.NO_DATA,
            Cause.NO_MACHINE,
            Cause.FAILED,
            Cause.CORDONED,
            Cause.REFUSED,
            Cause.UNRECORDED,
        }
    )


def test_no_empty_server_takes_the_place_of_one_whose_data_is_gone():
    """Such as after a destroy, which leaves the app, or where machine and volume were lost."""
    desired = desired_state(environment_file(), IMAGE)
    live = replace(applied(desired), machines=(), volumes=())

    found = find_drift(diff(desired, live), desired, live, None)

    assert Cause.NO_DATA in {difference.cause for difference in found}
    assert not may_heal(found)

"""What is known of each secret from digests and fingerprints alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.applying import quick_mark
from helpers.environments import POSTGRES, environment_file
from helpers.pretend_fly import applied, with_machine
from roost.environment.model import AUTH_SECRET
from roost.fly.models import SecretInfo
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import canonical, plan_digest, plan_document
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.secret_fingerprints import with_marks
from roost.plan.secrets import State, check_values, moved_sources, secret_states
from roost.plan.steps import Change, SetSecrets
from roost.secret_text import SecretText

OLD, NEW = SecretText("the-old-value"), SecretText("the-new-value")
IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"


def desired_of(*parts, **fields):
    return desired_state(environment_file(*parts, **fields), IMAGE)


def marked(live: Live, value: SecretText = OLD) -> Live:
    """Return a live state whose machines were sent this value of every secret that is there."""
    marks = {secret.name: quick_mark(secret, value) for secret in live.secrets}
    machines = tuple(
        machine.model_copy(update={"config": with_marks(machine.config or {}, marks)})
        for machine in live.machines
    )
    return replace(live, machines=machines)


def by_hand(live: Live, name: str = AUTH_SECRET) -> Live:
    """Return a live state in which somebody set a secret since."""
    others = tuple(secret for secret in live.secrets if secret.name != name)
    return replace(live, secrets=(*others, SecretInfo(name=name, digest="another")))


def compared(desired, live, **values):
    """Return what is desired with these values held to the marks."""
    ours = our_machines(desired, live)
    return replace(desired, values=check_values(desired, live, ours, values))


def states(desired, live):
    return {s.name: s.state for s in secret_states(desired, live, our_machines(desired, live))}


DESIRED = desired_of()
LIVE = marked(applied(DESIRED))
UNMARKED = with_machine(LIVE, config=with_marks(LIVE.machines[0].config or {}, {}))


@pytest.mark.parametrize(
    ("live", "values", "state", "kinds"),
    [
        (LIVE, {AUTH_SECRET: OLD}, State.UNCHANGED, []),
        (LIVE, {AUTH_SECRET: NEW}, State.CHANGED, ["set-secrets", "update-machine"]),
        (LIVE, {}, State.UNCHECKED, []),
        (by_hand(LIVE), {AUTH_SECRET: OLD}, State.BY_HAND, ["set-secrets", "update-machine"]),
        (by_hand(LIVE), {}, State.BY_HAND, ["set-secrets", "update-machine"]),
        (UNMARKED, {AUTH_SECRET: OLD}, State.UNKNOWN, ["set-secrets", "update-machine"]),
        (UNMARKED, {}, State.UNKNOWN, ["set-secrets", "update-machine"]),
        (replace(LIVE, secrets=()), {}, State.MISSING, ["set-secrets", "update-machine"]),
    ],
)
def test_each_state_is_known_without_a_value_from_fly_and_has_its_steps(live, values, state, kinds):
    desired = compared(DESIRED, live, **values)

    plan = diff(desired, live)

    assert states(desired, live) == {AUTH_SECRET: state}
    assert [step.kind for step in plan.steps] == kinds
    assert plan.unchecked == ((AUTH_SECRET,) if state is State.UNCHECKED else ())


def test_why_a_secret_is_set_stands_in_the_plan():
    both = desired_of(secrets=[AUTH_SECRET, "HOOK"])
    live = marked(applied(both))
    live = replace(live, secrets=tuple(s for s in live.secrets if s.name != "HOOK"))

    step = diff(compared(both, live, **{AUTH_SECRET: NEW}), live).steps[0]

    assert step.summary == (
        "set the secrets HOOK (missing, from the variable of the same name), "
        f"{AUTH_SECRET} (its value changed, from the variable of the same name)"
    )


def test_an_extra_secret_is_told_after_the_declared_ones():
    live = replace(LIVE, secrets=(SecretInfo(name="A_STRANGER", digest="d"), *LIVE.secrets))

    assert states(DESIRED, live) == {AUTH_SECRET: State.UNCHECKED, "A_STRANGER": State.EXTRA}


def test_what_was_found_of_a_value_says_nothing_once_another_is_set():
    """The same comparison serves a second plan of one apply, after the first has set it."""
    desired = compared(DESIRED, LIVE, **{AUTH_SECRET: NEW})
    assert states(desired, LIVE) == {AUTH_SECRET: State.CHANGED}

    assert states(desired, marked(LIVE, NEW)) == {AUTH_SECRET: State.UNCHECKED}


def test_a_machine_that_was_sent_older_secrets_than_its_neighbour_is_booted_alone():
    """An apply died between the updates of two machines."""
    desired = desired_of(POSTGRES, scaling={"count": 2})
    live = applied(desired)
    behind = marked(by_hand(live, "DATABASE_URL")).machines[0]
    live = replace(live, machines=(behind, *marked(live).machines[1:]))

    [step] = diff(desired, live).steps

    assert (step.kind, step.machine) == ("update-machine", behind.id)
    assert step.changes == (Change("secrets", "of an earlier apply", "as Fly has them"),)


def test_without_machines_nothing_is_set_again_and_again():
    desired = desired_of(POSTGRES, scaling={"count": 0})

    plan = diff(desired, applied(desired))

    assert plan.steps == ()


def test_marks_that_a_silent_host_may_hide_are_no_reason_to_set_anything():
    live = with_machine(LIVE, config=None, host_status="unreachable")

    assert states(DESIRED, live) == {AUTH_SECRET: State.UNCHECKED}


@pytest.mark.parametrize("values", [{AUTH_SECRET: OLD}, {}], ids=["with values", "without"])
def test_the_digest_of_a_plan_does_not_depend_on_having_unchanged_values(values):
    """A pull request's job has none, the deploy after the merge has them."""
    larger = desired_of(machine={"memory_mb": 1024})

    plan = diff(compared(larger, LIVE, **values), LIVE)

    assert plan_digest(plan) == plan_digest(diff(larger, LIVE))


def test_a_plan_holds_neither_value_nor_fingerprint_nor_salt():
    live = by_hand(LIVE)
    [mark] = [quick_mark(secret, OLD) for secret in LIVE.secrets]
    larger = desired_of(machine={"memory_mb": 1024})

    plan = diff(compared(larger, LIVE, **{AUTH_SECRET: NEW}), live)
    written = canonical(plan_document(plan)) + repr(plan)

    assert "update-machine" in written
    for hidden in (OLD.reveal(), NEW.reveal(), mark.fingerprint.rpartition("$")[2], "scrypt"):
        assert hidden not in written


def test_each_step_and_plan_says_where_values_come_from():
    sops = {"name": "HOOK", "from": {"sops": "production.sops.yaml"}}
    odd = {"name": "ODD", "from": {"sops": "a b), C (from env D.sops.yaml"}}
    desired = desired_of(secrets=[{"name": "A", "from": {"env": "B"}}, sops, odd, AUTH_SECRET])
    told = {
        "A": "env B",
        "HOOK": "sops production.sops.yaml",
        "ODD": 'sops "a b), C (from env D.sops.yaml"',
        AUTH_SECRET: f"env {AUTH_SECRET}",
    }

    plan = diff(desired, Live())

    [step] = [step for step in plan.steps if isinstance(step, SetSecrets)]
    assert plan.sources == step.sources == told
    assert "A (missing, from env B), HOOK (missing, from sops production.sops.yaml)" in step.summary
    assert 'ODD (missing, from sops "a b), C (from env D.sops.yaml")' in step.summary


def test_a_moved_source_is_told_and_a_new_secret_has_moved_from_nowhere():
    before = {"A": "env A", "B": "env B", "C": "sops x.yaml", "GONE": "env X"}
    after = {"A": "env A", "B": "env OTHER", "C": "env C", "NEW": "env NEW"}

    assert tuple(moved_sources(before, after)) == (
        "The value of the secret B comes from env OTHER now. It came from the variable of the same name.",
        "The value of the secret C comes from the variable of the same name now. It came from sops x.yaml.",
    )

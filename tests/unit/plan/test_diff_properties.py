"""Properties of the comparison over generated environments and generated live states."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from helpers.environments import environment_file, environments
from helpers.pretend_fly import PretendFly, address, applied
from roost.fly.models import Machine, SecretInfo, Volume
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import canonical, plan_document
from roost.plan.live import Live
from roost.plan.machines import LAUNCHED

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
SLEEP = ("stopped", "suspended", "stopping", "suspending")
STATES = st.sampled_from(["started", "failed", "created", *SLEEP])


@st.composite
def desired_states(draw):
    return desired_state(environment_file(draw(environments(12))), IMAGE)


@st.composite
def live_states(draw):
    """What another version of the file left, bent by hands, crashes and sleep."""
    live = applied(draw(desired_states()))
    machines = [
        machine.model_copy(update={"state": draw(STATES)})
        for machine in live.machines
        if draw(st.integers(0, 9))
    ]
    if draw(st.booleans()):
        machines.append(Machine(id="foreign", name="by-hand", config={"image": "x"}, region="ams"))
    volumes = list(live.volumes)
    if draw(st.booleans()):
        volumes.append(Volume(id="vol_other", name="scratch", region="iad", size_gb=1))
    kept = {machine.id for machine in machines}
    volumes = [
        v if v.attached_machine_id in kept else v.model_copy(update={"attached_machine_id": None})
        for v in volumes
    ]
    secrets = [s for s in live.secrets if draw(st.booleans())]
    secrets = [
        SecretInfo(name=s.name, digest="of a hand") if draw(st.booleans()) else s for s in secrets
    ]
    secrets += [SecretInfo(name="BY_HAND", digest="d")] * draw(st.integers(0, 1))
    ips = [ip for ip in live.ips if draw(st.booleans())]
    ips += [address("v4")] * draw(st.integers(0, 1))
    return replace(
        live,
        machines=tuple(machines),
        volumes=tuple(volumes),
        secrets=tuple(secrets),
        ips=tuple(ips),
    )


@given(desired_states())
def test_what_was_just_applied_is_never_a_difference(desired):
    plan = diff(desired, applied(desired))

    assert (plan.steps, plan.refusals, plan.warnings) == ((), (), ())


@given(desired_states(), st.sampled_from(SLEEP))
def test_sleep_is_a_difference_only_where_machines_must_run(desired, state):
    plan = diff(desired, applied(desired, state))

    assert len(plan.steps) == min(desired.always_on, len(desired.machines))
    assert {step.kind for step in plan.steps} <= {"start-machine"}


@given(desired_states(), live_states())
def test_one_apply_reaches_what_is_desired(desired, live):
    """Whatever Fly has: a plan is refused for a reason, or leaves nothing for a second one."""
    fly = PretendFly(live)
    plan = diff(desired, live)
    if plan.refusals:
        assert all(refusal.what and refusal.advice for refusal in plan.refusals)
        return

    fly.carry_out(plan.steps)

    assert diff(desired, fly.live).steps == ()


@given(desired_states(), live_states(), st.data())
def test_an_apply_that_was_cut_short_is_finished_by_the_next(desired, live, data):
    """No duplicate, and no running machine without a secret that the file declares."""
    fly = PretendFly(live)
    first = diff(desired, live)
    if first.refusals:
        return
    fly.carry_out(first.steps[: data.draw(st.integers(0, len(first.steps)))])

    second = diff(desired, fly.live)
    assert second.refusals == ()
    fly.carry_out(second.steps)

    assert diff(desired, fly.live).steps == ()
    names = [machine.name for machine in fly.live.machines]
    assert len(names) == len(set(names))
    left = {volume.id for volume in live.volumes}
    made = [v for v in fly.live.volumes if v.name == "data" and v.id not in left]
    assert len(made) <= (
        desired.volume is not None and not any(v.name == "data" for v in live.volumes)
    )
    changed = {m.id for m in fly.live.machines if m.state in LAUNCHED} & set(fly.booted_with)
    for machine in changed:
        assert set(desired.secrets) <= fly.booted_with[machine]


@given(desired_states(), live_states())
def test_keys_are_unique_within_a_plan(desired, live):
    keys = [step.key for step in diff(desired, live).steps]

    assert len(keys) == len(set(keys))


@given(desired_states(), live_states())
def test_foreign_machines_are_named_and_never_touched(desired, live):
    plan = diff(desired, live)

    assert "foreign" not in {getattr(step, "machine", "") for step in plan.steps}
    foreign = any(machine.id == "foreign" for machine in live.machines)
    assert any("foreign" in warning for warning in plan.warnings) == foreign


@given(desired_states(), live_states())
def test_a_plan_is_the_same_json_whatever_the_order_of_fly_s_lists(desired, live):
    backwards = Live(
        live.app,
        tuple(reversed(live.ips)),
        tuple(reversed(live.volumes)),
        tuple(reversed(live.secrets)),
        tuple(reversed(live.machines)),
    )

    one, other = (canonical(plan_document(diff(desired, state))) for state in (live, backwards))

    assert one == other

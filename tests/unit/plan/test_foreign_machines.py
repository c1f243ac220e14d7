"""A machine that no apply made: what serves the app is not joined by a second, empty server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.histories import FAILED, History, level
from helpers.pretend_fly import applied
from roost.errors import UnappliableError
from roost.errors.command import bare
from roost.fly.models import App, Machine, Organization, Volume
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff, plan_from
from roost.plan.foreign_machines import check_alone
from roost.plan.live import Live
from roost.plan.rollback import roll_back

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
HTTP = {"internal_port": 4200, "ports": [{"port": 80}, {"port": 443}]}
REST = "`fly machine cordon m9 -a acme-prefect` and `fly machine stop m9 -a acme-prefect`"
BY_FLYCTL = {"fly_platform_version": "v2", "fly_process_group": "app"}
LEFT_ALONE = "The machine m9 (quiet-moon-123) on this app is not Roost's and is left alone."


def desired_of(*parts, **fields):
    return desired_state(environment_file(*parts, **fields), IMAGE)


def server(services=(HTTP,), volume="vol_9", **fields):
    """A Prefect server as flyctl would have made it."""
    mounts = [{"volume": volume, "path": "/data"}] if volume else []
    config = {"services": list(services), "mounts": mounts, "metadata": BY_FLYCTL}
    given = {"state": "started", "region": "iad", "config": config, **fields}
    return Machine(id="m9", name="quiet-moon-123", **given)


def served(machine, desired=None, **volume):
    """An app that a machine serves, beside what was applied if anything was."""
    live = applied(desired) if desired else Live(App(name="acme-prefect", organization=OWNER))
    fields = {"name": "prefect_data", "size_gb": 1, "region": "iad", **volume}
    data = Volume(id="vol_9", attached_machine_id="m9", **fields)
    volumes = (*live.volumes, data) if machine.mounted_volume else live.volumes
    return replace(live, machines=(*live.machines, machine), volumes=volumes)


OWNER = Organization(slug="personal")


def only_refusal(desired, live):
    [refusal] = diff(desired, live).refusals
    return refusal


def test_an_app_that_a_server_of_somebody_serves_is_refused_with_the_commands_that_bring_its_data():
    refusal = only_refusal(desired_of(), served(server()))

    assert refusal.key == "machine/quiet-moon-123"
    assert refusal.what == (
        "the machine m9 (quiet-moon-123), which Roost did not create, serves this app, and each of "
        "two servers would get a part of the requests"
    )
    commands = [
        REST,
        "`fly volumes snapshots create vol_9`",
        "`roost restore staging --snapshot ID`",
    ]
    places = [bare(refusal.advice).index(command) for command in commands]
    assert places == sorted(places)
    assert "of Prefect 3.8.8 or older" in refusal.advice


def test_a_server_of_ours_beside_it_is_refused_too():
    desired = desired_of()

    assert REST in only_refusal(desired, served(server(), desired)).advice


@pytest.mark.parametrize("state", ["stopped", "suspended"])
def test_one_that_sleeps_serves_as_the_next_request_wakes_it(state):
    assert only_refusal(desired_of(), served(server(state=state)))


@pytest.mark.parametrize(
    "service",
    [
        {"internal_port": 8080, "ports": [{"port": 443}]},
        {"internal_port": 8080, "ports": [{"start_port": 1, "end_port": 100}]},
        {"internal_port": 4200, "ports": [{"port": 4200}]},
    ],
    ids=["our port", "a range with it", "Prefect's own port"],
)
def test_what_serves_is_known_by_its_ports(service):
    assert only_refusal(desired_of(), served(server([service])))


@pytest.mark.parametrize(
    "services",
    [
        (),
        [{"internal_port": 4200}],
        [{"internal_port": 4200, "ports": []}],
        [{"internal_port": 6379, "ports": [{"port": 6379}]}],
        [{"internal_port": 6379, "ports": [{"start_port": 444, "end_port": 500}]}],
    ],
    ids=["a worker", "no ports", "no port in them", "another service", "another range"],
)
def test_a_machine_that_serves_nothing_of_ours_is_named_and_left_alone(services):
    plan = diff(desired_of(), served(server(services)))

    assert plan.refusals == ()
    assert LEFT_ALONE in plan.warnings


def test_a_server_that_rests_still_has_the_data_that_nobody_adopted():
    refusal = only_refusal(desired_of(), served(server(cordoned=True)))

    assert "holds data on the volume vol_9, and the server would be empty" in refusal.what


def test_its_data_may_come_first_and_then_the_machine_is_left_alone():
    live = served(server(cordoned=True))
    filled = Volume(id="vol_1", name="data", size_gb=1, region="iad")
    plan = diff(desired_of(), replace(live, volumes=(*live.volumes, filled)))

    assert plan.refusals == ()
    assert LEFT_ALONE in plan.warnings


def test_a_volume_that_is_larger_than_the_file_s_is_told():
    assert only_refusal(desired_of(), served(server(), size_gb=7)).advice.startswith(
        "First set database.volume_gb to 7. "
    )


def test_data_in_a_postgres_stays_where_it_is():
    advice = only_refusal(desired_of(POSTGRES), served(server(volume=""))).advice

    assert advice.startswith("Set `database` in the file to the one that it uses. Then")
    assert "snapshots" not in advice


def test_one_without_a_volume_is_said_to_have_its_data_elsewhere():
    assert "It has no volume." in only_refusal(desired_of(), served(server(volume=""))).advice


def test_going_back_is_not_held_up_by_it():
    history = History().went(level("DEBUG")).went(level("INFO"), FAILED)
    live = replace(history.live, machines=(*history.live.machines, server(volume="")))

    plan = plan_from(roll_back(history.desired, live, None), live)

    assert plan.refusals == ()
    assert LEFT_ALONE in plan.warnings


def test_nothing_is_restored_beside_it_before_it_rests():
    with pytest.raises(UnappliableError) as found:
        check_alone(desired_of(), served(server()))

    assert f"First: {REST}. Nothing was changed." in str(found.value)
    check_alone(desired_of(), served(server(cordoned=True)))
    check_alone(desired_of(), served(server([]), desired_of()))


def test_the_app_of_a_part_of_another_environment_names_the_way_to_move_it():
    machine = server()
    machine.config["metadata"] = {"roost_environment": "production.waker"}

    refusal = only_refusal(desired_of(), served(machine))

    assert "belongs to the environment production.waker" in refusal.what
    assert "run `roost destroy production.waker`" in bare(refusal.advice)

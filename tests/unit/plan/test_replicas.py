"""The machines of a replicated server in plans, records, costs and the status."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, REPLICATED, environment_file
from helpers.plans import PRICES
from helpers.pretend_fly import applied
from roost.plan.cost import read_prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import SLOT_KEY, service_of
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.releases import decode, desired_of, draft
from roost.plan.replica_state import replica_faults
from roost.plan.steps import DestroyMachine

IMAGE = "registry.fly.io/acme-prefect:prefect-{version}-0123456789ab"
SERVING, SERVICES = ("app-1", "app-2"), "services-1"


def desired(*parts, **fields):
    file = environment_file(*parts, **fields)
    return desired_state(file, IMAGE.format(version=file.environment.prefect.version))


def with_setting(level, **fields):
    prefect = {"settings": {"PREFECT_LOGGING_LEVEL": level}}
    return desired(REPLICATED, prefect=prefect, **fields)


def keys(plan):
    return [step.key.removeprefix("machine/") for step in plan.steps if "machine" in step.key]


def config_of(wanted, slot):
    return next(machine.config for machine in wanted.machines if machine.name == slot)


def test_each_machine_runs_its_part_and_only_those_of_the_api_get_requests():
    wanted = desired(REPLICATED)
    services = config_of(wanted, SERVICES)

    assert [machine.name for machine in wanted.machines] == [*SERVING, SERVICES]
    assert {config_of(wanted, slot)["env"]["ROOST_PROCESS"] for slot in SERVING} == {"api"}
    assert all(service_of(config_of(wanted, slot)) for slot in SERVING)
    assert services["env"]["ROOST_PROCESS"] == "services"
    assert "services" not in services
    assert services["checks"]["health"]["path"] == "/api/health"
    assert services["metadata"]["fly_process_group"] == "services"
    assert {m.config["env"]["ROOST_REDIS_URL_VARIABLE"] for m in wanted.machines} == {"REDIS_URL"}
    assert wanted.always_on == 3


def test_a_server_of_one_machine_has_nothing_of_it():
    [machine] = desired(POSTGRES).machines

    assert not {"ROOST_PROCESS", "ROOST_REDIS_URL_VARIABLE"} & machine.config["env"].keys()
    assert "checks" not in machine.config


def test_the_services_are_first_as_they_migrate_and_the_gate_of_the_api_needs_them():
    assert keys(diff(desired(REPLICATED), Live())) == [SERVICES, *SERVING]
    changed = diff(with_setting("DEBUG"), applied(desired(REPLICATED)))

    assert keys(changed) == [SERVICES, *SERVING]
    assert "schedules and events wait meanwhile" in changed.steps[0].summary
    assert "while the others serve" in changed.steps[1].summary


def test_what_is_applied_has_no_steps():
    assert diff(desired(REPLICATED), applied(desired(REPLICATED))).steps == ()


def test_scaling_adds_and_removes_machines_of_the_api_alone():
    two, three = desired(REPLICATED), desired(REPLICATED, scaling={"count": 3})

    [gone] = diff(two, applied(three)).steps

    assert keys(diff(three, applied(two))) == ["app-3"]
    assert isinstance(gone, DestroyMachine)
    assert gone.key.startswith("machine/app-3/")


def test_a_server_becomes_replicated_and_one_machine_again():
    one, several = desired(POSTGRES, secrets=REPLICATED["secrets"]), desired(REPLICATED)

    there, back = diff(several, applied(one)), diff(one, applied(several))

    assert keys(there) == [SERVICES, *SERVING]
    assert "while the others serve" not in there.steps[1].summary  # it was the only one
    assert [key.partition("/")[0] for key in keys(back)] == ["app-1", "app-2", SERVICES]


@pytest.mark.parametrize("fields", [{}, {"scaling": {"count": 3}}], ids=["two", "three"])
def test_a_record_restores_the_machines_of_both_kinds(fields):
    wanted = desired(REPLICATED, **fields)
    record = decode(draft(wanted, Live(), ()).encoded())

    restored = desired_of(record, desired(POSTGRES))

    assert [m.name for m in restored.machines] == [m.name for m in wanted.machines]
    assert [m.config for m in restored.machines] == [m.config for m in wanted.machines]
    assert config_of(restored, SERVICES)["metadata"][SLOT_KEY] == SERVICES


SPREAD = {"count": 3, "regions": ["iad", "fra"]}


def regions(machines):
    return {machine.name: machine.region for machine in machines}


def test_the_machines_of_the_api_take_turns_in_the_regions():
    wanted = desired(REPLICATED, scaling=SPREAD)

    expected = {"app-1": "iad", "app-2": "fra", "app-3": "iad", SERVICES: "iad"}
    assert regions(wanted.machines) == expected
    assert diff(wanted, applied(wanted)).steps == ()


def test_a_record_restores_each_machine_in_its_region():
    wanted = desired(REPLICATED, scaling=SPREAD)
    record = draft(wanted, Live(), ())

    restored = desired_of(decode(record.encoded()), desired(REPLICATED))

    assert regions(restored.machines) == regions(wanted.machines)
    assert record.setup != draft(desired(REPLICATED, scaling={"count": 3}), Live(), ()).setup


def test_a_record_without_regions_is_as_it_always_was():
    assert "regions" not in draft(desired(REPLICATED), Live(), ()).encoded()


def test_another_region_moves_the_machines_that_are_elsewhere_and_no_other():
    near, spread = desired(REPLICATED), desired(REPLICATED, scaling={"regions": ["iad", "fra"]})

    plan = diff(spread, applied(near))

    assert {key.partition("/")[0] for key in keys(plan)} == {"app-2"}
    assert "create the machine app-2 in fra" in [step.summary for step in plan.steps]


def test_an_upgrade_warns_of_machines_that_run_the_older_prefect_meanwhile():
    live = applied(desired(REPLICATED))

    plan = diff(desired(REPLICATED, prefect={"version": "3.9.1"}), live)

    assert any("machines with the older Prefect serve" in warning for warning in plan.warnings)


def test_the_cost_names_both_kinds_of_machines_and_none_that_sleeps():
    table = cost_table("staging", desired(REPLICATED), read_prices(PRICES), (0.0, 24.0))
    lines = {line.name: line.amounts for line in table.lines}
    serving, services = lines["machines for the API"], lines["machine for the services"]

    assert serving[0] == serving[1] == pytest.approx(2 * services[0])
    assert lines["root file system, asleep"] == (0, 0)


def test_the_status_names_each_machine_that_does_not_run():
    wanted = desired(REPLICATED)
    ours = our_machines(wanted, applied(wanted))
    stopped = {slot: m.model_copy(update={"state": "stopped"}) for slot, m in ours.items()}

    [services] = replica_faults("staging", [ours["app-1"], stopped[SERVICES]])
    [serving] = replica_faults("staging", [ours["app-1"], stopped["app-2"], ours[SERVICES]])
    [none] = replica_faults("staging", [ours["app-1"], ours["app-2"]])

    assert services.startswith("The machine services-1 is stopped: schedules make no runs")
    assert serving.startswith("The machine app-2 is stopped: the others serve")
    assert none.startswith("No machine runs the services")
    assert replica_faults("staging", ours.values()) == ()
    assert replica_faults("staging", our_machines(desired(), applied(desired())).values()) == ()

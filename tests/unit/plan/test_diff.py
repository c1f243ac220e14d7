"""Each kind of difference gives its step, its risk, or a refusal with the way out."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from helpers.environments import POSTGRES, PRIVATE, environment_file
from helpers.histories import History
from helpers.pretend_fly import (
    PretendFly,
    address,
    applied,
    with_machine,
    with_volume_fields,
)
from roost.errors.command import Command
from roost.fly.models import App, Machine, Organization, SecretInfo, Volume
from roost.plan.adoption import FOUND
from roost.plan.compare import differences
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.document import plan_document
from roost.plan.live import Live
from roost.plan.merged_config import merged_config
from roost.plan.releases import Release, with_records
from roost.plan.steps import Change, Risk
from roost.secret_text import HIDDEN

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
NEW_MACHINE = ["set-secrets", "create-machine"]  # what was known of the secrets went with the old
NEWER = "registry.fly.io/acme-prefect:prefect-3.9.0-ba9876543210"


def desired_of(*parts, image=IMAGE, **fields):
    return desired_state(environment_file(*parts, **fields), image)


def plan_from(before, after):
    """The plan from an environment that is applied to what its file asks for now."""
    return diff(after, applied(before))


def only_step(plan):
    assert plan.refusals == ()
    [step] = plan.steps
    return step


def kinds(plan):
    assert plan.refusals == ()
    return [step.kind for step in plan.steps]


def only_refusal(plan):
    [refusal] = plan.refusals
    return refusal


def scaled(**scaling):
    return desired_of(POSTGRES, scaling=scaling)


def test_the_first_apply_makes_everything_in_a_safe_order():
    plan = diff(desired_of(), Live())

    kinds = [step.kind for step in plan.steps]
    assert kinds == [
        "create-app",
        "assign-ip",
        "assign-ip",
        "create-volume",
        "set-secrets",
        "create-machine",
    ]
    assert plan.risk is Risk.NONE


def test_the_volume_is_placed_where_the_machine_has_room_too():
    desired = desired_of()

    volume = next(s for s in diff(desired, Live()).steps if s.kind == "create-volume")

    assert volume.fields["compute"] == desired.machines[0].config["guest"]
    assert volume.fields["compute_image"] == IMAGE


def test_another_image_updates_the_machine_and_nothing_else():
    step = only_step(plan_from(desired_of(), desired_of(image=NEWER)))

    assert step.kind == "update-machine"
    assert step.changes == (Change("image", IMAGE, NEWER),)
    assert (step.risk, step.skip_launch) == (Risk.RESTART, False)


def test_an_update_names_the_version_it_was_planned_on():
    live = with_machine(applied(desired_of()), instance_id="01VERSION")

    assert only_step(diff(desired_of(image=NEWER), live)).current_version == "01VERSION"


@pytest.mark.parametrize("state", ["stopped", "suspended", "stopping", "suspending"])
def test_a_sleeping_machine_is_updated_without_being_woken(state):
    live = applied(desired_of(), state)

    step = only_step(diff(desired_of(image=NEWER), live))

    assert (step.skip_launch, step.risk) == (True, Risk.RESTART)
    assert step.summary == "update the machine app-1, and wake it for the gate"


def test_a_sleeping_machine_rests_on_where_another_one_serves():
    live = applied(desired_of(POSTGRES, scaling={"count": 2}))
    first, second = live.machines
    live = replace(live, machines=(first.model_copy(update={"state": "stopped"}), second))

    steps = diff(desired_of(POSTGRES, scaling={"count": 2}, image=NEWER), live).steps

    assert [(step.skip_launch, step.risk) for step in steps] == [
        (True, Risk.NONE),
        (False, Risk.RESTART),
    ]
    assert steps[0].summary == "update the machine app-1, which stays asleep"


@pytest.mark.parametrize("state", ["started", "starting", "failed", "created"])
def test_any_other_machine_is_launched_by_an_update(state):
    live = applied(desired_of(), state)

    assert only_step(diff(desired_of(image=NEWER), live)).skip_launch is False


@pytest.mark.parametrize("state", ["failed", "created", "launch_failed"])
def test_a_machine_that_no_request_would_wake_is_started(state):
    """`created` is what a crash between create and launch leaves."""
    assert only_step(diff(desired_of(), applied(desired_of(), state))).kind == "start-machine"


def test_an_update_keeps_the_volume_and_others_metadata():
    live = applied(desired_of())

    step = only_step(diff(desired_of(image=NEWER), live))

    assert step.config["mounts"][0]["volume"] == live.volumes[0].id
    sent = merged_config(step.config, live.machines[0].config)
    assert sent["metadata"]["fly_release_id"] == "somebody-elses"
    assert sent["metadata"].items() >= step.config["metadata"].items()


def test_an_update_keeps_a_field_that_no_file_has():
    live = applied(desired_of())
    (machine,) = live.machines
    by_hand = {"dns": {"nameservers": ["fdaa::3"]}}
    machine = machine.model_copy(update={"config": {**machine.config, **by_hand}})

    step = only_step(diff(desired_of(image=NEWER), replace(live, machines=(machine,))))

    assert merged_config(step.config, machine.config)["dns"] == by_hand["dns"]


def test_an_update_keeps_fields_of_ports_services_and_mounts_that_no_file_has():
    live = applied(desired_of())
    (machine,) = live.machines
    options = {"compress": True}
    config = deepcopy(machine.config)
    service = config["services"][0]
    service["ports"][1]["http_options"] = options
    service["force_instance_key"] = "a"
    config["guest"]["kernel_args"] = ["quiet"]
    config["mounts"][0]["extend_threshold_percent"] = 80
    service["ports"].reverse()  # an entry is the same by its port, not by its place
    machine = machine.model_copy(update={"config": config})

    step = only_step(diff(desired_of(image=NEWER), replace(live, machines=(machine,))))
    sent = merged_config(step.config, machine.config)

    assert [port.get("http_options") for port in sent["services"][0]["ports"]] == [None, options]
    assert sent["services"][0]["force_instance_key"] == "a"
    assert sent["guest"]["kernel_args"] == ["quiet"]
    assert sent["mounts"][0]["extend_threshold_percent"] == 80
    assert differences(step.config, sent) == ()
    assert "http_options" not in str(plan_document(diff(desired_of(image=NEWER), live)))


def test_an_update_drops_what_a_release_sent_and_what_a_file_decides():
    extend = {"at_percent": 80, "add_gb": 1, "limit_gb": 5}
    grows = desired_of(database={"backend": "sqlite", "volume_gb": 1, "extend": extend})
    (machine,) = History().went(grows).live.machines
    private = desired_of(PRIVATE).machines[0].config

    sent = merged_config(private, machine.config)

    assert machine.config["mounts"][0]["extend_threshold_percent"] == 80
    assert sent["mounts"][0].keys() == private["mounts"][0].keys() | {"volume"}
    assert sent["services"][0]["ports"] == private["services"][0]["ports"]


def test_what_an_adopted_machine_had_beside_ours_stays_with_every_update():
    (machine,) = applied(desired_of()).machines
    config = deepcopy(machine.config)
    config["services"][0]["ports"][1]["http_options"] = {"compress": True}
    found = Release(1, "iad", config, 1, why=FOUND)
    ours = desired_of(image=NEWER).machines[0].config

    sent = merged_config(ours, with_records(config, [found]))

    assert sent["services"][0]["ports"][1]["http_options"] == {"compress": True}


def test_what_others_set_on_a_machine_stands_in_no_plan():
    """It may hold anything, a password as well; and a plan is shown on a pull request."""
    live = applied(desired_of())
    (machine,) = live.machines
    by_hand = {
        "files": [{"guest_path": "/etc/key", "raw_value": "czNjcjN0"}],
        "init": {"cmd": ["server", "--password=hunter2"]},
        "metadata": {**machine.config["metadata"], "note": "hunter2"},
    }
    machine = machine.model_copy(update={"config": {**machine.config, **by_hand}})

    text = str(plan_document(diff(desired_of(image=NEWER), replace(live, machines=(machine,)))))

    assert NEWER in text
    assert "czNjcjN0" not in text
    assert "hunter2" not in text


def test_a_setting_is_shown_with_its_old_and_new_value():
    before = desired_of(prefect={"settings": {"PREFECT_LOGGING_LEVEL": "INFO"}})
    after = desired_of(prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})

    step = only_step(plan_from(before, after))

    assert step.changes == (Change("env.PREFECT_LOGGING_LEVEL", "INFO", "DEBUG"),)


def test_an_empty_setting_is_not_an_absent_one():
    after = desired_of(prefect={"settings": {"PREFECT_LOGGING_LEVEL": ""}})

    assert only_step(plan_from(desired_of(), after)).kind == "update-machine"


def test_a_variable_set_by_hand_is_removed_and_its_value_never_shown():
    live = applied(desired_of())
    config = live.machines[0].config
    by_hand = {**config, "env": {**config["env"], "DATABASE_URL": "postgres://u:hunter2@h/db"}}

    plan = diff(desired_of(), with_machine(live, config=by_hand))

    assert only_step(plan).changes == (Change("env.DATABASE_URL", HIDDEN, None),)
    assert "hunter2" not in repr(plan)


def test_more_memory_is_a_restart():
    step = only_step(plan_from(desired_of(), desired_of(machine={"memory_mb": 1024})))

    assert step.changes == (Change("guest.memory_mb", 512, 1024),)
    assert step.risk is Risk.RESTART


def test_a_larger_volume_is_extended_and_its_machine_booted_to_see_that():
    larger = desired_of(database={"backend": "sqlite", "volume_gb": 3})

    plan = plan_from(desired_of(), larger)

    extend, update = plan.steps
    assert (extend.kind, extend.size_gb, extend.risk) == ("extend-volume", 3, Risk.NONE)
    assert (update.kind, update.skip_launch, update.risk) == ("update-machine", False, Risk.RESTART)


def test_the_machine_of_a_volume_that_is_larger_already_is_still_booted():
    """An apply that was killed right after extending leaves that."""
    live = with_volume_fields(applied(desired_of()), size_gb=3)

    step = only_step(diff(desired_of(database={"backend": "sqlite", "volume_gb": 3}), live))

    assert step.changes == (Change("metadata.roost_volume_gb", "1", "3"),)


def test_a_smaller_volume_is_refused_with_the_size_to_write():
    before = desired_of(database={"backend": "sqlite", "volume_gb": 3})

    refusal = only_refusal(plan_from(before, desired_of()))

    assert "cannot shrink" in refusal.what
    assert refusal.advice == "Set volume_gb to 3."


def test_the_time_snapshots_are_kept_is_changed_without_a_restart():
    after = desired_of(database={"backend": "sqlite", "snapshot_retention_days": 30})

    step = only_step(plan_from(desired_of(), after))

    assert (step.kind, step.snapshot_retention, step.risk) == ("update-volume", 30, Risk.NONE)


def test_data_does_not_move_to_another_region():
    plan = plan_from(desired_of(), desired_of(region="ams"))

    assert plan.refusals
    assert all("iad" in refusal.what for refusal in plan.refusals)
    assert any("Keep region iad" in refusal.advice for refusal in plan.refusals)


def test_a_machine_without_data_is_replaced_in_another_region():
    """First removed, then made: two machines cannot share the name."""
    plan = plan_from(desired_of(POSTGRES), desired_of(POSTGRES, region="ams"))

    assert [step.kind for step in plan.steps] == ["destroy-machine", "create-machine"]
    assert plan.risk is Risk.DOWNTIME


def test_more_machines_are_created_by_slot():
    plan = plan_from(scaled(count=1), scaled(count=3))

    assert [step.key for step in plan.steps] == ["machine/app-2", "machine/app-3"]


def test_fewer_machines_are_removed_from_the_highest_slot():
    plan = plan_from(scaled(count=11), scaled(count=8))

    assert [step.key.split("/")[1] for step in plan.steps] == ["app-11", "app-10", "app-9"]
    assert plan.risk is Risk.RESTART


def test_a_server_of_two_machines_from_when_they_were_let_through_is_brought_to_one():
    plan = plan_from(scaled(count=2), scaled(count=1))

    assert [step.kind for step in plan.steps] == ["destroy-machine"]
    assert plan.steps[0].key.startswith("machine/app-2/")
    assert plan.refusals == ()


def test_a_field_that_was_sent_and_is_not_asked_for_any_more_is_taken_away():
    """It is known as ours by the record of the release that sent it."""
    plain = desired_of()
    [machine] = plain.machines
    more = {**machine.config, "guest": {**machine.config["guest"], "kernel_args": ["quiet"]}}
    sent = replace(plain, machines=(replace(machine, config=more),))

    [step] = diff(plain, History().went(sent).live).steps
    by_hand = applied(sent)

    assert [(c.field, c.old, c.new) for c in step.changes] == [
        ("guest.kernel_args", ["quiet"], None)
    ]
    assert "kernel_args" not in step.config["guest"]
    assert diff(plain, by_hand).steps == ()


def test_the_command_of_prefect_s_own_image_goes_with_it():
    """Left on the machine, our image would run it."""
    stock = "docker.io/prefecthq/prefect:3.8.8"
    live = History().went(desired_of(prefect={"image": stock}, image=stock)).live

    [step] = diff(desired_of(), live).steps

    assert {change.field for change in step.changes} >= {"image", "init"}
    assert "init" not in merged_config(step.config, live.machines[0].config)


def test_no_machine_at_all_is_downtime():
    plan = plan_from(scaled(count=2), scaled(count=0))

    assert [step.risk for step in plan.steps] == [Risk.DOWNTIME, Risk.DOWNTIME]


def test_a_machine_that_must_run_is_started():
    always = {"count": 1, "min_machines_running": 1}

    assert only_step(diff(scaled(**always), applied(scaled(**always), "stopped"))).kind == (
        "start-machine"
    )


def test_only_as_many_machines_are_woken_as_must_run():
    desired = scaled(count=3, min_machines_running=1)
    live = applied(desired, "stopped")
    *others, last = live.machines
    live = replace(live, machines=(*others, last.model_copy(update={"state": "started"})))

    assert diff(desired, live).steps == ()


def test_a_machine_that_is_to_run_from_now_on_is_woken_by_its_update():
    live = applied(scaled(count=1), "suspended")

    assert only_step(diff(scaled(count=1, min_machines_running=1), live)).skip_launch is False


def test_an_upgrade_of_prefect_is_a_migration_even_asleep():
    after = desired_of(prefect={"version": "3.9.0"}, image=NEWER)

    assert only_step(plan_from(desired_of(), after)).risk is Risk.MIGRATION
    assert only_step(diff(after, applied(desired_of(), "suspended"))).risk is Risk.MIGRATION


def test_versions_are_compared_as_numbers():
    before = desired_of(prefect={"version": "3.9.0"})
    after = desired_of(prefect={"version": "3.10.0"})

    assert only_step(plan_from(before, after)).risk is Risk.MIGRATION


def test_a_downgrade_is_refused_with_the_way_out():
    refusal = only_refusal(plan_from(desired_of(prefect={"version": "3.9.0"}), desired_of()))

    assert "3.9.0" in refusal.what
    assert "snapshot" in refusal.advice


def test_a_new_secret_is_set_and_the_machine_booted_with_it():
    after = desired_of(secrets=["PREFECT_SERVER_API_AUTH_STRING", "HOOK"])

    secret, machine = plan_from(desired_of(), after).steps

    assert (secret.kind, secret.names) == ("set-secrets", ("HOOK",))
    assert machine.kind == "update-machine"
    assert "secrets" in {change.field for change in machine.changes}


def test_a_crash_between_secret_and_machine_is_made_good():
    """The secret is there, but the running machine booted before it."""
    after = desired_of(secrets=["PREFECT_SERVER_API_AUTH_STRING", "HOOK"])
    fly = PretendFly(applied(desired_of()))
    fly.do(diff(after, fly.live).steps[0])

    assert kinds(diff(after, fly.live)) == ["set-secrets", "update-machine"]


def test_a_secret_that_is_not_listed_is_reported_and_kept():
    live = applied(desired_of())
    live = replace(live, secrets=(*live.secrets, SecretInfo(name="BY_HAND", digest="d")))

    plan = diff(desired_of(), live)

    assert plan.steps == ()
    assert "BY_HAND" in plan.warnings[0]


def test_a_secret_that_is_not_listed_is_removed_where_prune_is_on():
    live = applied(desired_of(prune=True))
    live = replace(live, secrets=(*live.secrets, SecretInfo(name="BY_HAND", digest="d")))

    unset, update = diff(desired_of(prune=True), live).steps

    assert (unset.kind, unset.names) == ("unset-secrets", ("BY_HAND",))
    assert update.kind == "update-machine"


def test_a_server_made_private_gets_its_address_before_it_loses_the_public_ones():
    plan = plan_from(desired_of(), desired_of(PRIVATE))

    kinds = [step.kind for step in plan.steps]
    assert kinds == ["assign-ip", "update-machine", "release-ip", "release-ip"]
    assert plan.risk is Risk.DOWNTIME


def test_a_dedicated_address_serves_as_the_shared_one():
    live = replace(applied(desired_of()), ips=(address("v4"), address("v6")))

    assert diff(desired_of(), live).steps == ()


def test_sqlite_is_not_left_behind_for_postgres():
    refusal = only_refusal(plan_from(desired_of(), desired_of(POSTGRES)))

    assert "another database" in refusal.what
    assert "sqlite" in refusal.advice


def test_a_machine_on_postgres_gets_no_volume_and_the_plan_names_the_command_that_moves():
    refusal = only_refusal(plan_from(desired_of(POSTGRES), desired_of(secrets=POSTGRES["secrets"])))

    assert "the server's data is in PostgreSQL" in refusal.what
    assert str(Command("migrate", "staging", "--to", "sqlite")) in refusal.advice


def test_a_free_volume_is_not_taken_while_our_machine_mounts_none():
    live = applied(desired_of(POSTGRES))
    live = replace(live, volumes=(Volume(id="vol_free", name="data", region="iad", size_gb=1),))

    assert diff(desired_of(secrets=POSTGRES["secrets"]), live).refusals


def test_a_volume_left_by_a_crash_is_adopted():
    live = replace(applied(desired_of()), machines=())
    live = with_volume_fields(live, attached_machine_id=None)

    assert kinds(diff(desired_of(), live)) == NEW_MACHINE


def test_a_volume_whose_machine_is_on_its_way_out_is_not_doubled():
    """The API does not list a machine that is being destroyed; the volume still names it."""
    live = replace(applied(desired_of()), machines=())

    assert kinds(diff(desired_of(), live)) == NEW_MACHINE


def test_between_two_free_volumes_there_is_no_guessing():
    free = tuple(
        Volume(id=f"vol_{n}", name="data", region="iad", size_gb=1, snapshot_retention=5)
        for n in "ab"
    )
    live = replace(applied(desired_of()), machines=(), volumes=free)

    refusal = only_refusal(diff(desired_of(), live))

    assert "vol_a, vol_b" in refusal.what
    assert "fly volumes destroy" in refusal.advice


def test_a_free_volume_of_another_region_does_not_hide_the_one_here():
    there = Volume(id="vol_a", name="data", region="ams", size_gb=1)
    here = Volume(id="vol_b", name="data", region="iad", size_gb=1, snapshot_retention=5)
    live = replace(applied(desired_of()), machines=(), volumes=(there, here))

    plan = diff(desired_of(), live)

    assert kinds(plan) == NEW_MACHINE
    assert "The new machine uses the existing volume vol_b with the data on it" in plan.warnings[0]
    assert "vol_a" in plan.warnings[1]


def test_a_file_with_another_name_makes_no_second_server_on_the_app():
    live = applied(desired_of())
    renamed = replace(desired_of(), environment="another")

    [refusal] = diff(renamed, live).refusals

    assert refusal.what == (
        f"the machine {live.machines[0].id} on this app belongs to the environment staging"
    )
    assert "name the file staging.yaml again" in refusal.advice


def test_a_second_volume_beside_the_one_in_use_is_a_warning():
    live = applied(desired_of())
    spare = Volume(id="vol_spare", name="data", region="iad", size_gb=1)

    plan = diff(desired_of(), replace(live, volumes=(spare, *live.volumes)))

    assert (plan.steps, plan.refusals) == ((), ())
    assert "vol_spare" in plan.warnings[0]


def test_a_machine_that_mounts_a_volume_of_another_name_is_refused():
    live = with_volume_fields(applied(desired_of()), name="pgdata")

    assert "another name" in only_refusal(diff(desired_of(), live)).what


def test_an_app_of_another_organization_is_refused():
    live = replace(applied(desired_of()), app=App(name="x", organization=Organization(slug="evil")))

    refusal = only_refusal(diff(desired_of(), live))

    assert "evil" in refusal.what
    assert "fly apps move" in refusal.advice


@pytest.mark.parametrize("incomplete", [None, {}, {"metadata": {"roost_environment": "staging"}}])
def test_a_machine_whose_host_does_not_answer_is_neither_changed_nor_doubled(incomplete):
    live = with_machine(
        applied(desired_of()), config=None, incomplete_config=incomplete, host_status="unreachable"
    )

    plan = diff(desired_of(image=NEWER), live)

    assert [step.kind for step in plan.steps] == []
    refusal = only_refusal(plan)
    assert "does not answer (unreachable)" in refusal.what
    assert "If it stays dead" in refusal.advice


def test_a_new_machine_is_not_put_on_a_volume_whose_host_does_not_answer():
    live = applied(desired_of())
    dead = tuple(
        volume.model_copy(update={"host_status": "unreachable"}) for volume in live.volumes
    )

    refusal = only_refusal(diff(desired_of(), replace(live, machines=(), volumes=dead)))

    assert refusal.what == f"the host of the volume {dead[0].id} does not answer (unreachable)"
    restore = Command("restore", "staging")
    assert f"`fly volumes destroy {dead[0].id}`, `{restore}`" in refusal.advice


def test_a_machine_of_nobody_s_making_is_named_and_left():
    live = applied(desired_of())
    foreign = Machine(id="148e", name="console", config={"image": "x"})

    plan = diff(desired_of(), replace(live, machines=(*live.machines, foreign)))

    assert plan.steps == ()
    assert "148e (console)" in plan.warnings[0]


def test_a_second_machine_in_one_slot_is_removed_and_the_one_with_data_kept():
    live = applied(desired_of())
    [ours] = live.machines
    config = {k: v for k, v in ours.config.items() if k != "mounts"}
    twin = ours.model_copy(update={"id": "a-twin", "config": config})

    plan = diff(desired_of(), replace(live, machines=(twin, ours)))

    assert only_step(plan).machine == "a-twin"


def test_a_machine_with_data_is_never_removed_by_a_plan():
    live = applied(desired_of())
    [ours] = live.machines
    metadata = {**ours.config["metadata"], "roost_slot": "app-2"}
    second = ours.model_copy(
        update={
            "id": "second",
            "config": {**ours.config, "metadata": metadata, "mounts": [{"volume": "vol_x"}]},
        }
    )

    refusal = only_refusal(diff(desired_of(), replace(live, machines=(ours, second))))

    assert refusal.key == "machine/app-2"
    assert "by hand" in refusal.advice


NO_WAY_BACK = (
    "Prefect 3.9.0 migrates the Postgres database, and an older one cannot read it afterwards. "
    "Roost takes no snapshot of a Postgres database and cannot roll this back. Make a backup of "
    "it first."
)


@pytest.mark.parametrize("count", [1, 2])
def test_an_upgrade_on_postgres_says_once_that_there_is_no_way_back(count):
    scaling = {"count": count}
    after = desired_of(POSTGRES, scaling=scaling, prefect={"version": "3.9.0"}, image=NEWER)

    assert plan_from(scaled(**scaling), after).warnings == (NO_WAY_BACK,)


def test_an_upgrade_with_a_volume_has_a_snapshot_and_a_change_on_postgres_no_migration():
    upgraded = desired_of(prefect={"version": "3.9.0"}, image=NEWER)

    assert NO_WAY_BACK not in plan_from(desired_of(), upgraded).warnings
    assert NO_WAY_BACK not in plan_from(scaled(), scaled(idle_after="7m")).warnings

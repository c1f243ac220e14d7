"""A machine that was made without Roost and that the file names: adopted, recorded, protected until then."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from helpers.environments import environment_file
from helpers.made_by_flyctl import (
    APP,
    CHECK,
    HOME,
    MACHINE,
    SERVICE,
    STOCK,
    app,
    config,
    machine,
)
from roost.environment.model import AUTH_SECRET
from roost.errors import UnappliableError
from roost.plan.adoption import (
    FOUND,
    check_adopted,
    found_release,
    reason_of,
    same_setup,
    secrets_in,
)
from roost.plan.desired import ENVIRONMENT_KEY, ValueCheck
from roost.plan.desired_state import desired_state
from roost.plan.destroy import check_all_ours
from roost.plan.diff import diff
from roost.plan.document import plan_document
from roost.plan.image import image_reference
from roost.plan.merged_config import merged_config
from roost.plan.other_database import chosen_elsewhere
from roost.plan.ownership import is_ours, our_machines
from roost.plan.releases import Verdict, desired_of
from roost.plan.secrets import State, fitting_marks, secret_states
from roost.plan.steps import Change
from roost.secret_text import HIDDEN

HEADERS = [{"name": "Authorization", "values": ["Bearer hunter2"]}]
OURS = image_reference(APP, "3.8.8", ())
NAMED = {"volume_name": "prefect_data", "volume_gb": 3, "snapshot_retention_days": 7}


def desired_of_app(image=STOCK, **fields):
    given = {
        "app": APP,
        "organization": "acme",
        "adopt": MACHINE,
        "database": {"backend": "sqlite", **NAMED},
        "prefect": {"version": "3.8.8", "image": image},
    }
    return desired_state(environment_file(**{**given, **fields}), image)


def test_only_the_named_machine_is_the_environment_s_and_only_without_another_s_marks():
    desired = desired_of_app()
    other = machine(config=config(metadata={ENVIRONMENT_KEY: "other"}))

    assert is_ours(machine(), desired)
    assert not is_ours(machine("d8"), desired)
    assert not is_ours(other, desired)
    assert list(our_machines(desired, app())) == ["app-1"]


SILENT = machine(config=None, host_status="unreachable")


def test_an_adopted_machine_whose_host_is_down_gets_no_second_one_and_no_false_refusal():
    desired = desired_of_app()

    plan = diff(desired, app(SILENT))

    assert plan.steps == ()
    assert [refusal.key for refusal in plan.refusals] == ["machine/app-1"]
    assert "does not answer (unreachable)" in plan.refusals[0].what
    check_adopted(desired, app(SILENT))
    with pytest.raises(UnappliableError, match="whether Roost adopted it is unknown"):
        check_all_ours(desired, app(SILENT))


def test_without_the_line_a_machine_whose_host_is_down_gets_no_empty_volume_beside_it():
    plan = diff(desired_of_app(adopt=None), app(SILENT))

    [refusal] = plan.refusals
    assert f"vol_9 of that name belongs to the machine {MACHINE}" in refusal.what
    assert "name it under `adopt`" in refusal.advice
    assert "create-volume" not in {step.kind for step in plan.steps}


def test_beside_an_applied_machine_a_named_one_is_never_removed_while_its_host_is_down():
    marks = {ENVIRONMENT_KEY: "staging", "roost_slot": "app-1", "roost_prefect_version": "3.8.8"}

    plan = diff(desired_of_app(), app(machine("d8", config=config(metadata=marks)), SILENT))

    assert "destroy-machine" not in {step.kind for step in plan.steps}


def test_beside_an_applied_machine_a_named_one_is_a_stranger_and_never_removed():
    """A file that gets `adopt` later must not cost a machine."""
    marks = {ENVIRONMENT_KEY: "staging", "roost_slot": "app-1", "roost_prefect_version": "3.8.8"}
    ours = machine("d8", config=config(metadata=marks))

    plan = diff(desired_of_app(), app(ours, machine(config=config(mounts=None))))

    assert "destroy-machine" not in {step.kind for step in plan.steps}


def test_what_it_ran_before_is_a_good_release_to_go_back_to():
    desired, live = desired_of_app(), app()

    [found] = found_release(desired, live, our_machines(desired, live))
    back = desired_of(found, desired).machines[0].config

    assert (found.number, found.verdict, found.why) == (1, Verdict.GOOD, FOUND)
    assert back["env"]["PREFECT_HOME"] == "/data"
    assert back["mounts"] == [{"path": "/data", "name": "prefect_data"}]
    assert back["init"] == config()["init"]
    assert back["metadata"]["roost_slot"] == "app-1"


def test_a_record_never_copies_a_variable_that_may_hold_a_password():
    desired = desired_of_app()
    live = app(machine(config=config(env={**HOME, "GITLAB_TOKEN": "hunter2"})))

    assert found_release(desired, live, our_machines(desired, live)) == ()
    assert "hunter2" not in repr(diff(desired, live))


PLACES = {
    "env.SLACK_WEBHOOK": {"env": {**HOME, "SLACK_WEBHOOK": "https://example.com/hunter2"}},
    "services[0].checks[1]": {
        "services": [{**SERVICE, "checks": [CHECK, {**CHECK, "headers": HEADERS}]}]
    },
    "services[0].checks[0].headers": {
        "services": [{**SERVICE, "checks": [{**CHECK, "headers": HEADERS}]}]
    },
    "services[1]": {
        "services": [SERVICE, {"internal_port": 9, "checks": [{**CHECK, "headers": HEADERS}]}]
    },
    "init.cmd, an option": {
        "init": {"cmd": ["prefect", "server", "start", "--password", "hunter2"]}
    },
    "init.cmd, a variable": {"init": {"cmd": ["sh", "-c", "DB_PASS=hunter2 prefect server start"]}},
    "init.cmd, an address": {
        "init": {"cmd": ["sh", "-c", "A=amqp://hunter2@mq prefect server start"]}
    },
}


@pytest.mark.parametrize("place", PLACES)
def test_a_password_anywhere_in_a_config_reaches_neither_a_plan_nor_a_record(place):
    desired = desired_of_app()
    live = app(machine(config=config(**PLACES[place])))

    plan = diff(desired, live)

    assert found_release(desired, live, our_machines(desired, live)) == ()
    assert "hunter2" not in repr(plan) + json.dumps(plan_document(plan))
    assert any("is not taken back" in warning for warning in plan.warnings)


def test_a_command_that_refers_to_a_variable_holds_no_password():
    words = ["sh", "-c", "PREFECT_API_DATABASE_CONNECTION_URL=$DATABASE_URL prefect server start"]

    assert secrets_in(config(init={"cmd": words})) == ()
    assert secrets_in(config()) == ()


def test_roost_s_image_runs_without_the_command_of_the_one_before_and_the_plan_shows_it():
    environment = environment_file(
        app=APP,
        organization="acme",
        adopt=MACHINE,
        database={"backend": "sqlite", **NAMED},
        prefect={"version": "3.8.8"},
    )
    live = app()

    [step] = diff(desired_state(environment, OURS), live).steps
    shown = [change for change in step.changes if change.field == "init"]

    assert shown == [Change("init", HIDDEN, None)]
    assert reason_of("init")
    assert "init" not in merged_config(step.config, live.machines[0].config)


def test_an_image_pinned_by_the_digest_that_runs_is_no_change_and_is_what_it_goes_back_to():
    """A tag may move by the time of the first apply, or of the way back."""
    digest = f"sha256:{'ab' * 32}"
    same, moved = f"{STOCK}@{digest}", f"{STOCK}@sha256:{'cd' * 32}"
    live = app(machine(image_ref={"digest": digest}))

    plans = [diff(desired_of_app(image), live) for image in (same, moved)]
    [found] = found_release(desired_of_app(), live, our_machines(desired_of_app(), live))

    shown = [{change.field for change in plan.steps[0].changes} for plan in plans]
    assert ["image" in fields for fields in shown] == [False, True]
    assert found.config["image"] == same


def test_an_older_prefect_than_the_image_s_is_refused_before_it_meets_the_data():
    desired = desired_of_app(prefect={"version": "3.8.7", "image": "prefecthq/prefect:3.8.7"})

    [refusal] = diff(desired, app()).refusals

    assert "Prefect 3.8.8 already migrated the database" in refusal.what


def test_secrets_stay_as_they_were_found_until_a_value_is_given():
    desired, live = desired_of_app(), app()
    ours = our_machines(desired, live)
    [mark] = fitting_marks(desired, live, ours).values()
    given = replace(desired, values=ValueCheck(changed=frozenset({mark.fingerprint})))

    [without] = secret_states(desired, live, ours)
    [with_value] = secret_states(given, live, ours)

    assert (without.name, without.state) == (AUTH_SECRET, State.UNCHECKED)
    assert with_value.state is State.UNKNOWN


def test_another_command_than_apply_refuses_until_it_is_adopted():
    desired, live = desired_of_app(), app()
    marked = machine(config=config(metadata={ENVIRONMENT_KEY: "staging"}))

    for check in (check_adopted, check_all_ours):
        with pytest.raises(UnappliableError, match="no apply has adopted it yet"):
            check(desired, live)
    check_all_ours(desired, app(marked))


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("sqlite+aiosqlite:////data/prefect.db", False),
        ("sqlite+aiosqlite:////data/prefect.db?timeout=60", False),
        ("sqlite+aiosqlite:////data//prefect.db", False),
        ("sqlite+aiosqlite:///$PREFECT_HOME/prefect.db", False),
        ("sqlite+aiosqlite:////srv/prefect.db", True),
        ("sqlite+aiosqlite:////prefect.db", True),
        ("sqlite+aiosqlite:///data/prefect.db", True),
        ("postgresql+asyncpg://db/prefect", True),
    ],
    ids=[
        "on the volume",
        "with an option",
        "with two slashes",
        "in Prefect's folder",
        "beside it",
        "at the root",
        "relative",
        "postgres",
    ],
)
def test_a_url_that_names_the_file_on_the_volume_keeps_no_snapshot_from_being_taken(url, elsewhere):
    env = {"PREFECT_HOME": "/data", "PREFECT_API_DATABASE_CONNECTION_URL": url}

    assert bool(chosen_elsewhere(machine(config=config(env=env)), ())) is elsewhere


def test_setups_are_compared_without_marks_and_ids_of_volumes():
    mounts = [{"volume": "vol_8", "path": "/data", "name": "prefect_data"}]
    other = config(mounts=mounts, metadata={"fly_release_version": "8"})

    assert same_setup(config(), other) == ()
    assert same_setup(config(), config(guest={"memory_mb": 1024}))

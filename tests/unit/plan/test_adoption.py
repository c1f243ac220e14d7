"""A machine that was made without Roost and that the file names: adopted, recorded, protected until then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.environments import environment_file
from helpers.made_by_flyctl import APP, HOME, MACHINE, STOCK, app, config, machine
from roost.environment.model import AUTH_SECRET
from roost.errors import UnappliableError
from roost.plan.adoption import FOUND, check_adopted, found_release, same_setup
from roost.plan.desired import ENVIRONMENT_KEY, ValueCheck
from roost.plan.desired_state import desired_state
from roost.plan.destroy import check_all_ours
from roost.plan.diff import diff
from roost.plan.other_database import chosen_elsewhere
from roost.plan.ownership import is_ours, our_machines
from roost.plan.releases import Verdict, desired_of
from roost.plan.secrets import State, fitting_marks, secret_states

NAMED = {"volume_name": "prefect_data", "volume_gb": 3, "snapshot_retention_days": 7}


def desired_of_app(**fields):
    given = {
        "app": APP,
        "organization": "acme",
        "adopt": MACHINE,
        "database": {"backend": "sqlite", **NAMED},
        "prefect": {"version": "3.8.8", "image": STOCK},
    }
    return desired_state(environment_file(**{**given, **fields}), STOCK)


def test_only_the_named_machine_is_the_environment_s_and_only_without_another_s_marks():
    desired = desired_of_app()
    other = machine(config=config(metadata={ENVIRONMENT_KEY: "other"}))

    assert is_ours(machine(), desired)
    assert not is_ours(machine("d8"), desired)
    assert not is_ours(other, desired)
    assert list(our_machines(desired, app())) == ["app-1"]


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
        ("sqlite+aiosqlite:////srv/prefect.db", True),
        ("postgresql+asyncpg://db/prefect", True),
    ],
    ids=["on the volume", "beside it", "postgres"],
)
def test_a_url_that_names_the_file_on_the_volume_keeps_no_snapshot_from_being_taken(url, elsewhere):
    env = {"PREFECT_API_DATABASE_CONNECTION_URL": url}

    assert bool(chosen_elsewhere(machine(config=config(env=env)), ())) is elsewhere


def test_setups_are_compared_without_marks_and_ids_of_volumes():
    mounts = [{"volume": "vol_8", "path": "/data", "name": "prefect_data"}]
    other = config(mounts=mounts, metadata={"fly_release_version": "8"})

    assert same_setup(config(), other) == ()
    assert same_setup(config(), config(guest={"memory_mb": 1024}))

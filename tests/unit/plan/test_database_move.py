"""What a plan says about a move to PostgreSQL, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.applying import desired_of
from helpers.environments import POSTGRES
from helpers.histories import FAILED, GOOD
from helpers.pretend_fly import PretendFly, applied, with_machine
from roost.environment.model import AUTH_SECRET
from roost.errors import UnappliableError
from roost.plan.database_move import copy_result, with_kept_volume
from roost.plan.diff import diff
from roost.plan.releases import draft, with_records
from roost.plan.rollback import roll_back
from roost.plan.steps import Risk

SQLITE, POSTGRES_FILE = desired_of(), desired_of(POSTGRES)


def plan(desired, live):
    """Plan as an apply does."""
    return diff(with_kept_volume(desired, live), live)


def moved():
    """The live state after a move."""
    fly = PretendFly(applied(SQLITE))
    fly.carry_out(plan(POSTGRES_FILE, fly.live).steps)
    return fly.live


def refusals(desired, live):
    return "; ".join(refusal.what for refusal in plan(desired, live).refusals)


def test_a_move_puts_data_at_risk_so_a_snapshot_is_taken_first():
    found = plan(POSTGRES_FILE, applied(SQLITE))

    assert found.refusals == ()
    assert found.risk is Risk.DATA
    [step] = [step for step in found.steps if step.kind == "copy-database"]
    assert step.summary == (
        "copy the database from the volume vol_0001 to the PostgreSQL of DATABASE_URL, while the "
        "server is stopped; the volume is kept"
    )


def test_a_moved_server_is_as_its_file_asks_and_its_volume_is_named():
    live = moved()

    found = plan(POSTGRES_FILE, live)

    assert [s.kind for s in found.steps] == []
    assert found.refusals == ()
    assert any("from before the move to PostgreSQL" in warning for warning in found.warnings)


def test_a_confirmed_move_replaces_the_machine_by_one_without_a_volume():
    found = diff(POSTGRES_FILE, moved())

    assert [s.kind for s in found.steps] == ["destroy-machine", "create-machine"]
    assert "mounts" not in found.steps[1].config
    assert found.refusals == ()


def test_a_server_that_began_on_postgres_is_planned_without_any_volume():
    found = plan(POSTGRES_FILE, applied(POSTGRES_FILE))

    assert found.steps == ()
    assert with_kept_volume(POSTGRES_FILE, applied(POSTGRES_FILE)) == POSTGRES_FILE


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (desired_of(POSTGRES, prefect={"version": "3.9.1"}), "the version of Prefect change"),
        (desired_of(POSTGRES, image="docker.io/x/y:1"), "only the image that Roost builds"),
        (
            desired_of(
                database={
                    "backend": "postgres",
                    "url_secret": "PREFECT_API_DATABASE_CONNECTION_URL",
                },
                secrets=[AUTH_SECRET, "PREFECT_API_DATABASE_CONNECTION_URL"],
            ),
            "Prefect itself reads PREFECT_API_DATABASE_CONNECTION_URL",
        ),
    ],
    ids=["upgrade", "image", "secret"],
)
def test_a_move_with_something_else_that_would_spoil_it_is_refused(wanted, said):
    assert said in refusals(wanted, applied(SQLITE))


def test_a_file_that_goes_back_to_the_volume_after_the_move_is_refused():
    assert "which is from before" in refusals(SQLITE, moved())


@pytest.mark.parametrize("verdict", [GOOD, FAILED])
def test_a_rollback_over_a_proved_move_is_refused_and_one_of_a_failed_move_is_not(verdict):
    live = moved()
    first = replace(draft(SQLITE, applied(SQLITE), ()), verdict=GOOD)
    second = replace(draft(with_kept_volume(POSTGRES_FILE, live), live, (first,)), verdict=verdict)
    config = with_records(live.machines[0].config, [first, second])
    live = with_machine(live, config=config)

    if verdict is GOOD:
        with pytest.raises(UnappliableError, match="where clients have written since"):
            roll_back(POSTGRES_FILE, live, None)
    else:
        assert roll_back(POSTGRES_FILE, live, None).back_to == 1


@pytest.mark.parametrize("text", ["", "[]", '{"version": "v1", "tables": 3}', '{"tables": []}'])
def test_a_result_of_another_form_or_of_another_config_is_none(text):
    live = with_machine(moved(), instance_id="v1")
    [machine] = live.machines
    config = {**machine.config, "metadata": {**machine.metadata, "roost_move": text}}

    assert copy_result(machine.model_copy(update={"config": config})) is None

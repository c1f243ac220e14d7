"""A server's data moves from PostgreSQL to a new volume, and whatever goes wrong, one machine serves."""

from __future__ import annotations

import copy
from itertools import count

import pytest

from helpers.applying import Run
from helpers.environments import POSTGRES
from helpers.fly_trouble import (
    TroubledFly,
    is_followed_by_a_kill,
    is_forestalled_by_a_kill,
    loses_the_answer,
)
from helpers.histories import desired_of
from helpers.restoring import DataWorld, look, run_restorer, serving, troubled_runs
from roost.apply import restore_replacement
from roost.apply.move_to_volume import VolumeMover
from roost.errors import DatabaseMoveError, NotRolledBackError, UnappliableError
from roost.plan.backups import retained_volumes
from roost.plan.database_move import is_copier
from roost.plan.desired import named_database
from roost.plan.diff import diff
from roost.plan.restore import JOURNAL_KEY

THERE, BACK = desired_of(POSTGRES), desired_of()
MIN_CALLS = 12
KILLS = (is_followed_by_a_kill, is_forestalled_by_a_kill)


@pytest.fixture
def world():
    """A server on PostgreSQL, whose file asks for a volume now."""
    found = DataWorld()
    assert found.apply(THERE).error is None
    found.serve = serving(found, database, lambda machine: not is_copier(machine["config"]))
    return found


def database(machine):
    """Return the database of a machine's config."""
    return named_database(machine["config"])


def run_move(world, do, desired=BACK, trouble=None):
    """Have a mover do something; what ends it is in the run's `error`."""
    return run_restorer(world, VolumeMover, do, desired, trouble)


def moving(mover):
    """Move the data."""
    return mover.move()


def settling(mover):
    """End what was cut short, as an apply does first."""
    return mover.settle()


def assert_sound(world, desired):
    """Assert that one machine serves as the file asks, and that nothing is left to do."""
    [machine] = world.fly.machines.values()
    assert not machine.get("cordoned")
    assert not is_copier(machine["config"])
    assert JOURNAL_KEY not in machine["config"]["metadata"]
    live = look(world, BACK.app)
    assert set(world.fly.volumes) <= {
        live.machines[0].mounted_volume,
        *retained_volumes(live.machines),
    }
    plan = diff(desired, live)
    assert (plan.steps, plan.refusals) == ((), ())


def troubled_moves(world, trouble):
    """Move once for each call that can go wrong, each time from the same start."""
    return troubled_runs(
        world, trouble, lambda fly: run_move(world, moving, trouble=fly), MIN_CALLS
    )


def test_a_new_machine_copies_while_the_old_one_is_stopped_and_then_serves_its_volume(world):
    [old] = world.fly.machines

    run = run_move(world, moving)

    assert run.error is None
    [copier] = world.fly.copies
    assert copier["init"] == {"cmd": ["python", "server.py", "move-to-volume"]}
    assert copier["env"]["ROOST_DATABASE_URL_VARIABLE"] == "DATABASE_URL"
    assert copier["env"]["PREFECT_HOME"] == "/data"
    assert copier["services"][0]["autostart"] is False
    [(key, machine)] = world.fly.machines.items()
    [volume] = world.fly.volumes
    assert key != old
    assert machine["config"]["mounts"][0]["volume"] == volume
    assert "ROOST_DATABASE_URL_VARIABLE" not in machine["config"]["env"]
    assert world.let_in == ["sqlite"]
    assert any("1 rows copied" in notice for notice in run.notices)
    assert_sound(world, BACK)


def test_a_copy_that_fails_leaves_the_server_on_its_postgres(world):
    world.fly.copy_result = {"error": "the volume has 1 MB free, and the data needs up to 2 MB"}

    run = run_move(world, moving)

    assert isinstance(run.error, DatabaseMoveError)
    assert "needs up to 2 MB. The server serves its PostgreSQL again" in str(run.error)
    assert "roost migrate staging --to sqlite" in str(run.error)
    assert world.let_in == ["postgres"]
    assert world.fly.volumes == {}
    assert_sound(world, THERE)


def test_a_volume_that_fly_does_not_make_ready_is_told(world, monkeypatch):
    monkeypatch.setattr(restore_replacement, "READY", "never")

    run = run_move(world, moving)

    assert "Fly did not make the volume vol_" in str(run.error)
    assert "snapshot" not in str(run.error)
    assert_sound(world, THERE)


def test_a_server_that_fails_its_gate_on_the_volume_serves_its_postgres_again(world):
    world.spoilt = {"sqlite"}

    run = run_move(world, moving)

    assert isinstance(run.error, DatabaseMoveError)
    assert "sqlite" not in world.let_in
    assert_sound(world, THERE)


def test_several_machines_are_refused_before_anything_is_changed(world):
    [machine] = world.fly.machines.values()
    other = copy.deepcopy(machine)
    other["id"] = other["name"] = "m_other"
    other["config"]["metadata"]["roost_slot"] = "app-2"
    world.fly.machines["m_other"] = other

    run = run_move(world, moving)

    assert isinstance(run.error, UnappliableError)
    assert "exactly one machine on PostgreSQL" in str(run.error)
    assert world.fly.volumes == {}


def has_ended(world):
    """Return whether the server is on its volume, and nothing of the move is left to do."""
    live = look(world, BACK.app)
    journals = [m for m in live.machines if JOURNAL_KEY in m.metadata]
    return not journals and [database(m) for m in world.fly.machines.values()] == ["sqlite"]


@pytest.mark.parametrize("ending", [moving, settling])
@pytest.mark.parametrize("trouble", KILLS, ids=lambda trouble: trouble.__name__)
def test_after_a_kill_at_any_call_the_next_command_ends_the_move(world, trouble, ending):
    for nth, _ in troubled_moves(world, trouble):
        if not has_ended(world):
            run = run_move(world, ending)
            assert run.error is None, (nth, run.error)
        if ending is moving:
            assert has_ended(world), nth
        assert_sound(world, BACK if has_ended(world) else THERE)


def test_after_a_lost_answer_at_any_call_one_machine_serves_and_the_move_can_be_repeated(world):
    """Where it was undone, the next command says so once more at most; then the data moves."""
    for nth, _ in troubled_moves(world, loses_the_answer):
        for _again in range(3):
            if has_ended(world):
                break
            run_move(world, moving)
            world.fly.leave_leases()
        assert has_ended(world), nth
        assert_sound(world, BACK)


def test_a_move_that_was_killed_goes_back_where_the_file_asks_for_postgres_again(world):
    seen = set()
    for nth, _ in troubled_moves(world, is_followed_by_a_kill):
        admitted, served = "sqlite" in world.let_in, serves_its_volume(world)
        world.let_in.clear()
        run = run_move(world, settling, THERE) if not has_ended(world) else Run()
        databases = [database(m) for m in world.fly.machines.values()]
        if admitted:
            assert databases[-1] == "sqlite", nth
        if isinstance(run.error, UnappliableError):
            assert served, nth
            assert "roost migrate staging --to sqlite" in str(run.error)
            assert run_move(world, settling).error is None, nth
            assert_sound(world, BACK)
        elif not served:
            assert run.error is None, nth
            assert databases == ["postgres"], nth
            assert_sound(world, THERE)
        seen.add((admitted, type(run.error)))
    assert {(True, UnappliableError), (False, type(None))} <= seen


def serves_its_volume(world):
    """Return whether a machine has the config with which it serves its volume."""
    configs = [m["config"] for m in world.fly.machines.values()]
    return any(named_database(c) == "sqlite" and not is_copier(c) for c in configs)


def killed_after_it_admitted(world):
    """Move, and be killed right after the new server admitted clients."""
    start = copy.deepcopy(world.fly)
    for nth in count(1):
        world.fly = copy.deepcopy(start)
        world.let_in.clear()
        run_move(world, moving, trouble=TroubledFly(world.fly, is_followed_by_a_kill, nth))
        if "sqlite" in world.let_in:
            world.fly.leave_leases()
            return


def test_a_server_that_fails_after_it_admitted_clients_is_left_with_what_they_wrote(world):
    killed_after_it_admitted(world)
    world.spoilt = {"sqlite"}

    for desired in (BACK, BACK, THERE):
        run = run_move(world, settling, desired)
        world.fly.leave_leases()

        assert serves_its_volume(world)
        assert isinstance(run.error, UnappliableError if desired is THERE else NotRolledBackError)
        assert desired is THERE or next(iter(world.fly.volumes)) in str(run.error)

    world.spoilt = set()
    assert run_move(world, moving).error is None
    assert has_ended(world)
    assert_sound(world, BACK)


def test_its_volume_is_kept_where_somebody_gives_it_up(world):
    killed_after_it_admitted(world)
    world.spoilt = {"sqlite"}
    run_move(world, settling)
    world.fly.leave_leases()
    [new] = [m for m in world.fly.machines.values() if database(m) == "sqlite"]
    del world.fly.machines[new["id"]]

    run = run_move(world, settling)

    assert isinstance(run.error, DatabaseMoveError)
    assert retained_volumes(look(world, BACK.app).machines) == (*world.fly.volumes,)
    assert_sound(world, THERE)

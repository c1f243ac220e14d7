"""Whatever goes wrong at whichever call of a restore, one machine serves, and no data is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import anyio
import httpx
import pytest

from helpers.fly_answers import says
from helpers.fly_trouble import (
    TROUBLES,
    is_followed_by_a_kill,
    is_forestalled_by_a_kill,
    loses_the_answer,
    refuses,
)
from helpers.histories import desired_of
from helpers.releasing import GIT, NOW
from helpers.restoring import DataWorld, look, run_restorer, serving, troubled_runs
from roost.apply.restore import Restorer
from roost.errors import (
    ChangedMeanwhileError,
    GateFailedError,
    UnappliableError,
    UsageError,
)
from roost.plan.backups import Backup, newest, retained_volumes
from roost.plan.diff import diff
from roost.plan.live import read_live
from roost.plan.restore import JOURNAL_KEY

DESIRED = desired_of()
MIN_CALLS = 15
KILLS = (is_followed_by_a_kill, is_forestalled_by_a_kill)


async def answers_anything(troubled, request):
    """Do it, and answer something else."""
    troubled.fly(request)
    return httpx.Response(200, content="<html>Welcome</html>")


def each(troubles):
    """Run a test for each of these troubles."""
    return pytest.mark.parametrize("trouble", troubles, ids=lambda trouble: trouble.__name__)


@pytest.fixture
def world():
    """A server on a volume whose backup holds other data than the volume does by now."""
    found = DataWorld()
    assert found.apply(DESIRED).error is None
    fly = found.fly
    [found.volume] = fly.volumes
    fly.snapshots[found.volume] = [{"id": "vs_backup", "status": "created"}]
    fly.data |= {"vs_backup": "the backup", found.volume: "the present"}
    found.serve = serving(found, lambda machine: held(found, machine))
    return found


def held(world, machine):
    """Return what the volume of a machine holds."""
    return world.fly.data[machine["config"]["mounts"][0]["volume"]]


def backup(snapshot="vs_backup"):
    """Return a backup as it is listed."""
    return Backup(snapshot, "vol", NOW, 1, 1, "created", "", "roost backup", "held")


def run_restore(world, do, trouble=None):
    """Have a restorer do something; what ends it is in the run's `error`."""
    return run_restorer(world, Restorer, do, DESIRED, trouble)


def restoring(restorer):
    """Restore the backup."""
    return restorer.restore(backup())


def settling(restorer):
    """End what was cut short, as an apply does first."""
    return restorer.settle()


def assert_sound(world, *served):
    """Assert that one machine serves one of these data, and that each volume is used or kept."""
    [machine] = world.fly.machines.values()
    assert held(world, machine) in served
    assert not machine.get("cordoned")
    assert JOURNAL_KEY not in machine["config"]["metadata"]
    assert world.volume in world.fly.volumes
    assert world.fly.data[world.volume] == "the present"
    live = look(world, DESIRED.app)
    known = {machine["config"]["mounts"][0]["volume"], *retained_volumes(live.machines)}
    assert set(world.fly.volumes) <= known
    plan = diff(DESIRED, live)
    assert (plan.steps, plan.refusals) == ((), ())


def troubled_restores(world, trouble):
    """Restore once for each call that can go wrong, each time from the same start."""
    return troubled_runs(world, trouble, lambda fly: run_restore(world, restoring, fly), MIN_CALLS)


def test_a_snapshot_that_is_none_is_refused_and_nothing_comes_of_it(world):
    def mistyped(restorer):
        return restorer.restore(backup("vs_nope"))

    run = run_restore(world, mistyped)

    [machine], [volume] = world.fly.machines.values(), world.fly.volumes
    assert isinstance(run.error, UnappliableError)
    assert "No volume can be created from the snapshot vs_nope" in str(run.error)
    assert "`roost backups staging`" in str(run.error)
    assert JOURNAL_KEY not in machine["config"]["metadata"]
    assert world.fly.snapshots[volume] == [{"id": "vs_backup", "status": "created"}]
    assert not [change for change in world.fly.changes if "/stop" in change or "cordon" in change]


def test_a_restore_that_failed_is_tried_again_with_what_it_tried_and_not_with_its_safety_copy(
    world,
):
    world.spoilt = {"the backup"}
    days = count(1)
    listed = world.fly._snapshots

    def dated(verb, key):
        answer = listed(verb, key)
        for snapshot in world.fly.snapshots[key]:
            snapshot.setdefault("created_at", f"2026-11-{next(days):02}T08:00:00Z")
        return says(200, world.fly.snapshots[key]) if verb == "GET" else answer

    world.fly._snapshots = dated

    run = run_restore(world, restoring)
    found = []

    async def see(restorer):
        live = await read_live(restorer.work.fly, DESIRED.app)
        found.extend(await restorer.snapshots.list(live.machines))

    run_restore(world, see)
    assert isinstance(run.error, GateFailedError)
    assert "`roost restore staging --snapshot vs_backup`" in str(run.error)
    assert next(b.why for b in found) == "before a restore of vs_backup that failed"
    assert newest(found).snapshot == "vs_backup"


def test_a_volume_on_which_somebody_was_let_in_is_kept_whatever_comes_then(world):
    """It is killed for its memory before the gate hears that it is open, and again after a restart."""
    serve = world.serve

    async def dying(request):
        answer = await serve(request)
        machine = next(m for m in world.fly.machines.values() if not m.get("cordoned"))
        if request.url.path == "/roost/open" and held(world, machine) == "the backup":
            machine["events"] = [killed(len(world.let_in))]
        elif machine["events"] and "x-roost-gate" not in request.headers:
            await anyio.sleep(30)
        return answer

    world.serve = dying

    run = run_restore(world, restoring)

    assert isinstance(run.error, GateFailedError)
    assert "the backup" in [world.fly.data[volume] for volume in world.fly.volumes]
    assert_sound(world, "the present")


def killed(number):
    """Return the event of a machine that was killed for its memory."""
    exit_event = {"oom_killed": True, "exit_code": 137}
    return {"id": f"e{number}", "type": "exit", "request": {"exit_event": exit_event}}


def test_an_old_server_that_woke_meanwhile_is_put_to_rest_before_the_new_one_serves(world):
    world.fly.settle("stopped")
    waking = WakingFly(world.fly)

    run = run_restore(world, restoring, waking)

    assert run.error is None
    assert waking.woke
    old = waking.old
    stopped, made = (
        next(i for i, change in enumerate(world.fly.changes) if change == wanted)
        for wanted in (f"POST machines/{old}/stop", "POST machines")
    )
    assert stopped < made
    assert_sound(world, "the backup")


class WakingFly:
    """A visitor wakes the old server while the volume is filled."""

    scope = None

    def __init__(self, fly):
        self.fly, self.woke = fly, False
        [self.old] = fly.machines

    async def answer(self, request):
        """Answer one request."""
        answer = self.fly(request)
        if request.method == "POST" and request.url.path.endswith("/volumes"):
            self.fly.wake()
            self.woke = True
        return answer


def test_the_server_moves_to_the_data_of_the_backup_and_the_record_says_so(world):
    assert run_restore(world, restoring).error is None

    assert_sound(world, "the backup")
    assert [(n, verdict) for n, verdict, _ in world.records] == [(1, "good"), (2, "good")]
    release = world.release(2)
    assert release.why == "restore of vs_backup"
    assert world.fly.data[release.snapshot] == "the present"
    assert (release.git, release.at) == (GIT, NOW)


@each(TROUBLES)
def test_the_next_restore_gets_there_whatever_went_wrong_at_any_call(world, trouble):
    for nth, _ in troubled_restores(world, trouble):
        last = run_restore(world, restoring)

        assert last.error is None, f"trouble at call {nth}"
        assert_sound(world, "the backup")


@each(KILLS)
def test_the_next_apply_ends_it_one_way_or_the_other_whatever_went_wrong(world, trouble):
    for nth, _ in troubled_restores(world, trouble):
        last = run_restore(world, settling)

        assert last.error is None or isinstance(last.error, GateFailedError), f"call {nth}"
        assert_sound(world, "the backup", "the present")


@each((*KILLS, loses_the_answer))
def test_a_backup_that_is_no_good_leaves_what_was_there_whatever_went_wrong(world, trouble):
    world.spoilt.add("the backup")
    for _ in troubled_restores(world, trouble):
        run_restore(world, settling)

        assert_sound(world, "the present")


@each((refuses, answers_anything))
def test_who_was_let_in_loses_nothing_whatever_goes_wrong_then(world, trouble):
    met = 0
    for nth, run in troubled_restores(world, trouble):
        if "the backup" in world.let_in and run.error is not None:
            met += 1
            kept = [held for volume, held in world.fly.data.items() if volume in world.fly.volumes]
            assert "the backup" in kept, f"trouble at call {nth}"
            assert run_restore(world, restoring).error is None, f"trouble at call {nth}"
            assert_sound(world, "the backup")
        world.let_in.clear()
    assert met


def test_a_backup_that_is_no_good_leaves_nothing_behind(world):
    world.spoilt.add("the backup")

    run = run_restore(world, restoring)

    assert isinstance(run.error, GateFailedError)
    assert_sound(world, "the present")
    assert set(world.fly.volumes) == {world.volume}
    assert [(n, verdict) for n, verdict, _ in world.records] == [(1, "good")]


def test_no_second_volume_is_made_where_somebody_made_one_since(world):
    nothing = replace(look(world, DESIRED.app), machines=(), volumes=())
    before = dict(world.fly.volumes)

    run = run_restore(
        world, lambda restorer: restorer.make_first_volume(backup(), diff(DESIRED, nothing))
    )

    assert isinstance(run.error, ChangedMeanwhileError)
    assert world.fly.volumes == before


def test_another_backup_waits_until_a_restore_that_was_cut_short_is_ended(world):
    for _, _ in troubled_restores(world, is_followed_by_a_kill):
        if JOURNAL_KEY not in next(iter(world.fly.machines.values()))["config"]["metadata"]:
            continue
        run = run_restore(world, lambda restorer: restorer.restore(backup("vs_other")))

        assert isinstance(run.error, UnappliableError)
        assert "was interrupted: a restore of the snapshot vs_backup." in str(run.error)


def test_a_kept_volume_goes_when_it_is_confirmed_and_no_other(world):
    run_restore(world, restoring)
    [machine] = look(world, DESIRED.app).machines
    [mounted] = [mount["volume"] for mount in machine.config["mounts"]]

    refused = run_restore(world, lambda restorer: restorer.confirm(mounted, machine))
    done = run_restore(world, lambda restorer: restorer.confirm(world.volume, machine))

    assert isinstance(refused.error, UsageError)
    assert f"Retained volumes: {world.volume}." in str(refused.error)
    assert done.error is None
    assert set(world.fly.volumes) == {mounted}
    assert not diff(DESIRED, look(world, DESIRED.app)).warnings


def test_a_sleeping_server_is_restored_too(world):
    world.fly.settle("suspended")

    assert run_restore(world, restoring).error is None
    assert_sound(world, "the backup")

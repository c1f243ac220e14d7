"""From a plan to a proved release, or back to the last good one, with records that stay true."""

from __future__ import annotations

import copy
import json
from itertools import count

import anyio
import pytest

from helpers.environments import POSTGRES
from helpers.fly_trouble import (
    TroubledFly,
    is_followed_by_a_kill,
    is_forestalled_by_a_kill,
    refuses,
)
from helpers.histories import FAILED, History, desired_of, level
from helpers.releasing import GIT, NO_PAGES, NOW, World, broken, deadly, setting
from roost.apply.live_description import describe_live
from roost.environment.model import AUTH_SECRET
from roost.errors import (
    ChangedMeanwhileError,
    FlyForbiddenError,
    GateFailedError,
    NotRolledBackError,
    OtherDatabaseError,
    UnappliableError,
)
from roost.plan.desired import VERSION_KEY
from roost.plan.releases import Verdict, records_in, with_records

GOOD, CHATTY = setting(), setting("PREFECT_LOGGING_LEVEL", "DEBUG")
STOCK = desired_of(image="docker.io/prefecthq/prefect:3.8.8-python3.12")
MIN_CALLS = 10


@pytest.fixture
def world():
    return World()


def applied(world, *desired):
    """The world after these applies, each of which was good."""
    for each in desired:
        assert world.apply(each).error is None
    return world


def test_what_the_gate_proves_is_written_into_the_record_that_went_with_the_change(world):
    applied(world, GOOD)

    assert world.records == [(1, "good", 0)]
    assert (world.release(1).git, world.release(1).at) == (GIT, NOW)
    assert world.release(1).config["image"] == GOOD.machines[0].config["image"]
    assert world.opened() == 1


def test_a_first_release_that_fails_stays_and_says_exactly_what_stands_where(world):
    run = world.apply(broken())

    [machine], [volume] = world.fly.machines, world.fly.volumes
    assert isinstance(run.error, NotRolledBackError)
    assert "Checks failed: ui: " in str(run.error)
    assert "Nothing was rolled back: there is no other healthy release." in str(run.error)
    assert f"  machine app-1 {machine} started image registry.fly.io/acme" in str(run.error)
    assert f"  volume {volume} 1 GB in iad, untouched" in str(run.error)
    assert "  release 1 failed registry.fly.io/acme" in str(run.error)
    assert world.records == [(1, "failed", 0)]
    assert world.release(1).why.startswith("Checks failed: ui: ")


def test_a_release_that_fails_is_restarted_once_and_then_the_last_good_one_is_back(world):
    applied(world, GOOD)

    run = world.apply(broken())

    assert isinstance(run.error, GateFailedError)
    assert "Release 2 failed: Checks failed: ui: " in str(run.error)
    assert "The last healthy release was restored and passed the gate." in str(run.error)
    assert "`roost releases staging --clear 2`" in str(run.error)
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "good", 1)]
    assert NO_PAGES not in world.env
    assert world.restarts() == 1
    assert world.opened() == 1


def test_what_the_apply_changed_is_named_first_and_the_server_s_last_error_is_quoted(world):
    applied(world, GOOD)
    error = "No module named 'prefect_redis'"
    world.prefect.report = {"database": "sqlite on the volume", "last_error": error}

    run = world.apply(setting(NO_PAGES, "false", machine={"memory_mb": 1024}))

    assert str(run.error).startswith(
        f"staging: This apply changed the setting {NO_PAGES}; the machine's size "
        "(memory_mb 512 to 1024). Release 2 failed: Checks failed: ui: "
    )
    assert f'. The server\'s last error: "{error}" The last healthy release was restored' in str(
        run.error
    )
    assert error in world.release(2).why


def test_of_a_first_release_the_file_s_settings_are_named_first(world):
    run = world.apply(broken())

    assert str(run.error).startswith(
        f"staging: This apply changed the setting {NO_PAGES}; the secret {AUTH_SECRET}; "
        "the machine itself, which is new. Checks failed: ui: "
    )


@pytest.mark.parametrize("version", ["its own", "another"])
def test_a_machine_that_ended_is_quoted_with_what_it_left_itself(world, version):
    applied(world, GOOD)
    die = world._die

    def leave_and_die(machine):
        of = machine["instance_id"] if version == "its own" else "01BEFORE"
        words = {"version": of, "error": "a Prefect setting is wrong (x: no number)"}
        machine["config"]["metadata"]["roost_last_error"] = json.dumps(words)
        die(machine)

    world._die = leave_and_die

    told = str(world.apply(deadly()).error)

    assert told.startswith("staging: This apply changed the setting PREFECT_LOGGING_LEVEL. Release")
    said = 'instead of serving. It said: "a Prefect setting is wrong (x: no number)" Its log says'
    assert (said in told) is (version == "its own")


def test_a_release_on_another_database_than_its_file_names_is_gone_back_from(world):
    applied(world, GOOD)
    world.prefect.report = {"database": "postgres", "last_error": ""}

    def mend():
        if CHATTY.machines[0].config["env"].items() - world.env.items():
            world.prefect.report = None

    world.on_health = mend
    run = world.apply(CHATTY)

    assert isinstance(run.error, GateFailedError)
    assert (
        "Checks failed: database: the server uses postgres, and its file names sqlite on the volume"
        in str(run.error)
    )
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "good", 1)]


def test_a_server_that_uses_the_postgres_of_its_file_is_good(world):
    world.prefect.report = {"database": "postgres", "last_error": ""}

    assert applied(world, setting(**POSTGRES)).records == [(1, "good", 0)]


def test_an_upgrade_of_a_server_whose_data_is_elsewhere_is_refused_and_changes_nothing(world):
    applied(world, setting(version="3.7.8"))
    world.prefect.report = {"database": "postgres", "last_error": ""}

    run = world.apply(GOOD)

    assert isinstance(run.error, OtherDatabaseError)
    assert "its database is postgres" in str(run.error)
    assert world.records == [(1, "good", 0)]
    assert not [change for change in world.fly.changes if "snapshots" in change]


def test_after_going_back_the_next_plan_refuses_the_same_and_changes_nothing(world):
    applied(world, GOOD)
    world.apply(broken())

    run = world.apply(broken())

    assert isinstance(run.error, UnappliableError)
    assert "`roost releases staging --clear 2`" in str(run.error)
    assert world.fly.changes == []
    assert world.apply(GOOD).kinds == []


def test_a_bad_start_that_a_restart_mends_is_good(world):
    applied(world, GOOD)
    world.on_health = lambda: world.restarts() and world.env.pop(NO_PAGES, None)

    assert world.apply(broken()).error is None
    assert world.records == [(1, "good", 0), (2, "good", 0)]


def test_a_machine_that_ends_is_gone_back_from_without_a_restart(world):
    applied(world, GOOD)

    run = world.apply(deadly())

    assert "exited with code 1 instead of serving" in str(run.error)
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "good", 1)]
    assert world.restarts() == 0


class Opened:
    """A server that dies right after it was asked to let everybody in, for as often as told."""

    def __init__(self, world, deaths, version="3.8.8"):
        self.world, self.deaths, self.version = world, deaths, version
        self.dies = False
        self.serve, world.serve = world.serve, self

    async def __call__(self, request):
        """Answer one request."""
        answer = await self.serve(request)
        [machine] = self.world.fly.machines.values()
        if machine["config"]["metadata"][VERSION_KEY] != self.version:
            return answer
        if request.url.path == "/roost/open" and self.deaths:
            self.dies, self.deaths = True, self.deaths - 1
            ending = {"exit_event": {"oom_killed": True, "exit_code": 137}}
            machine["events"] = [{"id": f"e{self.deaths}", "type": "exit", "request": ending}]
        elif self.dies and request.url.path == "/api/health":
            self.dies = False
            await anyio.sleep(30)  # its answer comes too late
        return answer


def test_an_upgrade_that_let_everybody_in_is_not_gone_back_from(world):
    """The older Prefect could not read what was written since."""
    applied(world, setting(version="3.7.8"))
    Opened(world, deaths=9)

    run = world.apply(setting(version="3.8.8"))

    assert isinstance(run.error, NotRolledBackError)
    assert "the server had already admitted clients, and release 1 runs Prefect 3.7.8" in str(
        run.error
    )
    assert world.restarts() == 1
    assert world.records == [(1, "good", 0), (2, "failed", 0)]


def test_a_server_that_dies_once_it_let_everybody_in_gets_its_one_restart(world):
    applied(world, setting(version="3.7.8"))
    Opened(world, deaths=1)

    assert world.apply(setting(version="3.8.8")).error is None
    assert world.restarts() == 1
    assert world.records == [(1, "good", 0), (2, "good", 0)]


@pytest.mark.parametrize("secrets", [True, False], ids=["rotation", "setting"])
def test_a_server_that_woke_after_the_plan_stays_awake_and_is_proved(world, secrets):
    applied(world, GOOD)
    world.fly.settle("stopped")
    if secrets:
        world.fly.secrets[AUTH_SECRET] = "by:hand"

    run = world.apply(GOOD if secrets else CHATTY, between=world.fly.wake)

    [machine] = world.fly.machines.values()
    assert run.error is None
    assert machine["state"] == "started"
    assert "woke meanwhile: it stays awake" in " ".join(run.notices)
    assert ("GET", "/api/health") in world.prefect.asked
    assert world.release(world.records[-1][0]).verdict is Verdict.GOOD


def test_before_a_migration_a_snapshot_is_taken_and_none_before_going_back(world):
    applied(world, setting(version="3.7.8"))
    world.fly.settle("stopped")

    world.apply(broken())

    [taken] = [taken for found in world.fly.snapshots.values() for taken in found]
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "good", 1)]
    assert [world.release(n).snapshot for n in (1, 2, 3)] == ["", taken["id"], ""]
    order = [change.rpartition("/")[2] for change in world.fly.changes]
    assert order.index("snapshots") < order.index(next(iter(world.fly.machines)))
    assert world.release(3).prefect == "3.7.8"


def test_a_good_release_that_is_no_good_any_more_ends_with_both_failures(world):
    applied(world, GOOD)
    world.on_health = lambda: world.env.update({NO_PAGES: "false"})

    run = world.apply(CHATTY)

    assert isinstance(run.error, NotRolledBackError)
    assert "Nothing was rolled back: release 1 is unhealthy now: Checks failed: ui" in str(
        run.error
    )
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "failed", 1)]


def refused_at_any_call(world, desired):
    """Apply, and let Fly refuse the n-th call, for each n from the last; return how each run went."""
    start = copy.deepcopy(world.fly)
    world.apply(desired)
    for nth in range(len(world.fly.asked), 0, -1):
        world.fly = copy.deepcopy(start)
        yield world.apply(desired, TroubledFly(world.fly, refuses, nth)).error


def test_going_back_that_fly_refuses_says_so_and_the_next_apply_goes_back(world):
    applied(world, GOOD)

    for error in refused_at_any_call(world, broken()):
        if isinstance(error, NotRolledBackError) and "POST" in str(error):
            break
    else:
        pytest.fail("going back was never refused")

    assert "Nothing was rolled back: the rollback failed: POST /apps/acme-prefect" in str(error)
    assert world.records == [(1, "good", 0), (2, "failed", 0)]
    assert isinstance(world.apply(broken()).error, GateFailedError)
    assert world.records == [(1, "good", 0), (2, "failed", 0), (3, "good", 1)]


def test_a_release_that_differs_in_nothing_that_goes_back_is_no_way_back(world):
    """Only the value of a secret is another, which nobody but its owner knows."""
    applied(world, GOOD)
    world.prefect.auth = True
    world.on_health = lambda: world.env.update({NO_PAGES: "false"})
    metadata = next(iter(world.fly.machines.values()))["config"]["metadata"]
    metadata["roost_secrets"] = "another mark"

    run = world.apply(GOOD)

    assert "Nothing was rolled back: there is no other healthy release." in str(run.error)
    assert world.records == [(1, "good", 0), (2, "failed", 0)]


def test_a_verdict_that_came_after_the_plan_was_made_is_kept(world):
    applied(world, GOOD, CHATTY)

    def clear():
        config = next(iter(world.fly.machines.values()))["config"]
        found = [r.with_verdict(Verdict.CLEARED) for r in records_in(config["metadata"])]
        config["metadata"] = with_records(config, found)["metadata"]

    world.apply(setting("PREFECT_LOGGING_LEVEL", "ERROR"), between=clear)

    assert world.records == [(1, "cleared", 0), (2, "cleared", 0), (3, "good", 0)]


def test_a_verdict_is_written_into_the_release_that_was_proved_and_no_later_one(world):
    """A lease may be lost; what somebody else sent since is theirs to prove."""
    applied(world, GOOD)

    def overtake():
        config = next(iter(world.fly.machines.values()))["config"]
        known = list(records_in(config["metadata"]))
        theirs = known[-1].with_verdict(Verdict.PENDING)
        theirs = type(theirs)(**{**vars(theirs), "number": 3})
        config["metadata"] = with_records(config, [*known, theirs])["metadata"]
        world.on_health = lambda: None

    world.on_health = overtake
    world.apply(CHATTY)

    assert world.records == [(1, "good", 0), (2, "good", 0), (3, "pending", 0)]


def test_a_machine_made_anew_knows_every_release_of_before(world):
    def scaled(machines, **fields):
        return setting(**POSTGRES, scaling={"count": machines}, **fields)

    applied(world, scaled(1), scaled(2), scaled(2, region="ams"))

    assert world.records == [(1, "good", 0), (2, "good", 0), (3, "good", 0)]


def test_machines_that_come_and_go_leave_what_they_remembered(world):
    def scaled(machines):
        return setting(**POSTGRES, scaling={"count": machines})

    applied(world, *map(scaled, [1, 3, 2, 3, 1]))

    assert world.records == [(n, "good", 0) for n in range(1, 6)]
    assert [world.release(n).machines for n in range(1, 6)] == [1, 3, 2, 3, 1]


def test_a_plan_that_only_starts_a_machine_leaves_no_release(world):
    always_on = setting(scaling={"min_machines_running": 1})
    applied(world, always_on)
    world.fly.settle("stopped")

    applied(world, always_on)

    assert world.records == [(1, "good", 0)]


def test_an_environment_without_machines_has_nothing_to_prove(world):
    none = setting(**POSTGRES, scaling={"count": 0})
    applied(world, setting(**POSTGRES), none)

    assert world.fly.machines == {}
    assert world.prefect.asked == []


def test_a_verdict_that_could_not_be_written_is_found_by_the_next_apply(world):
    applied(world, GOOD)

    for error in refused_at_any_call(world, CHATTY):
        if isinstance(error, FlyForbiddenError) and error.where.startswith("PATCH"):
            break
    else:
        pytest.fail("no verdict was refused")

    assert world.records == [(1, "good", 0), (2, "pending", 0)]
    assert applied(world, CHATTY).records == [(1, "good", 0), (2, "good", 0)]


def test_what_was_never_proved_is_proved_only_if_it_is_still_what_was_planned(world):
    applied(world, GOOD)
    key, machine = next(iter(world.fly.machines.items()))
    config = machine["config"]
    config["metadata"] = with_records(
        config, [r.with_verdict(Verdict.PENDING) for r in records_in(config["metadata"])]
    )["metadata"]

    run = world.apply(GOOD, between=lambda: machine.update(instance_id="v-of-somebody-else"))

    assert isinstance(run.error, ChangedMeanwhileError)
    assert run.error.where == "release/1"
    assert key in str(run.error)
    assert world.records == [(1, "pending", 0)]


def test_each_image_is_proved_by_what_it_promises(world):
    """Only ours is opened; a stock image that fails is gone back from to ours, which is opened."""
    applied(world, STOCK)
    assert world.opened() == 0

    applied(world, GOOD)
    assert world.opened() == 1

    stock = desired_of(
        image="docker.io/prefecthq/prefect:3", prefect={"settings": {NO_PAGES: "false"}}
    )
    assert isinstance(world.apply(stock).error, GateFailedError)
    assert world.opened() == 1


def test_going_back_by_hand_is_a_release_of_its_own(world):
    applied(world, GOOD, CHATTY)

    run = world.roll_back(CHATTY)

    assert run.error is None
    assert world.records == [(1, "good", 0), (2, "good", 0), (3, "good", 1)]
    assert world.env == GOOD.machines[0].config["env"]


def test_a_release_that_is_no_good_any_more_when_put_back_by_hand_is_gone_back_from(world):
    applied(world, broken_later := setting("PREFECT_LOGGING_LEVEL", "INFO"), CHATTY)
    world.on_health = lambda: (
        world.env.get("PREFECT_LOGGING_LEVEL") == "INFO" and world.env.update({NO_PAGES: "false"})
    )

    run = world.roll_back(CHATTY, to=1)

    assert isinstance(run.error, GateFailedError)
    assert "Release 3 failed: Checks failed: ui" in str(run.error)
    assert "Correct the file" not in str(run.error)
    assert world.records == [(1, "good", 0), (2, "good", 0), (3, "failed", 1), (4, "good", 2)]
    assert world.env["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert broken_later != CHATTY


@pytest.fixture
def unproved(world):
    """An upgrade whose apply was killed before its gate."""
    applied(world, setting(version="3.7.8"))
    start, nth = copy.deepcopy(world.fly), count(1)
    while world.records[-1] != (2, "pending", 0):
        world.fly = copy.deepcopy(start)
        world.apply(GOOD, TroubledFly(world.fly, is_followed_by_a_kill, next(nth)))
    world.fly.leave_leases()
    return world


def test_an_upgrade_that_nobody_proved_is_gone_back_from_by_hand_with_a_snapshot_first(unproved):
    world = unproved

    run = world.roll_back(GOOD)

    assert run.error is None
    assert world.records == [(1, "good", 0), (2, "pending", 0), (3, "good", 1)]
    assert world.release(3).prefect == "3.7.8"
    taken = [taken["id"] for found in world.fly.snapshots.values() for taken in found]
    assert [world.release(n).snapshot for n in (2, 3)] == taken


OPENED = "Release 2 was not proved within 15 minutes, so its server admitted clients;"


def test_from_an_upgrade_that_opened_by_itself_nobody_goes_back_by_hand(unproved):
    """It has taken work since, and the older Prefect could not even start on its database."""
    unproved.now = "2026-11-24T12:15:01+00:00"

    run = unproved.roll_back(GOOD)

    assert isinstance(run.error, UnappliableError)
    assert f"{OPENED} Prefect 3.7.8 cannot read its database any more." in str(run.error)
    assert unproved.fly.changes == []


def test_an_upgrade_that_opened_by_itself_stays_when_it_fails_its_gate_at_last(unproved):
    unproved.now = "2026-11-24T12:15:01+00:00"
    unproved.on_health = lambda: unproved.env.update({NO_PAGES: "false"})

    run = unproved.apply(GOOD)

    assert isinstance(run.error, NotRolledBackError)
    assert f"Nothing was rolled back: the rollback failed: staging: {OPENED}" in str(run.error)
    assert unproved.records == [(1, "good", 0), (2, "failed", 0)]
    assert unproved.release(2).prefect == "3.8.8"


@pytest.mark.parametrize(
    "kill",
    [is_followed_by_a_kill, is_forestalled_by_a_kill],
    ids=lambda kill: kill.__name__,
)
def test_an_apply_killed_anywhere_on_its_way_back_is_brought_back_by_the_next_ones(world, kill):
    applied(world, GOOD)
    start = copy.deepcopy(world.fly)

    for nth in count(1):
        world.fly = copy.deepcopy(start)
        troubled = TroubledFly(world.fly, kill, nth)
        world.apply(broken(), troubled)
        if not troubled.happened:
            break
        world.fly.leave_leases()
        world.apply(broken())
        world.fly.leave_leases()

        assert NO_PAGES not in world.env, f"killed at call {nth}"
        assert world.apply(GOOD).kinds == [], f"killed at call {nth}"
        assert world.records[0] == (1, "good", 0)
        assert world.records[-1][1:] in {("good", 1), ("good", 0)}, f"killed at call {nth}"
    assert nth > MIN_CALLS


def test_releases_in_a_row_that_fared_alike_are_one_line_of_what_stands():
    history = History().went(level("DEBUG"))
    for number in range(9):
        history.went(level(f"LEVEL_{number}"), FAILED)
    history.went(level("INFO"), FAILED, snapshot="vs_1")

    told = describe_live(level("INFO"), history.live)

    image = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
    assert [line for line in told.splitlines() if "release" in line] == [
        f"  release 1 good {image}",
        f"  releases 4 to 10 failed {image}",
        f"  release 11 failed {image}, snapshot vs_1",
    ]

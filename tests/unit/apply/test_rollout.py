"""A replicated server is changed machine by machine; the first that fails is where a change ends."""

from __future__ import annotations

import pytest

from helpers.environments import REPLICATED
from helpers.fake_replicas import Replicas, SharedPrefect
from helpers.fly_trouble import TroubledFly, is_followed_by_a_kill
from helpers.histories import desired_of
from helpers.releasing import NO_PAGES
from roost.errors import GateFailedError, NotRolledBackError

SLOTS = ("services-1", "app-1", "app-2")


def replicated(level="INFO", **settings):
    return desired_of(
        REPLICATED, prefect={"settings": {"PREFECT_LOGGING_LEVEL": level, **settings}}
    )


@pytest.fixture
def world():
    world = Replicas()
    assert world.apply(replicated()).error is None
    return world


def proved(run):
    return [notice for notice in run.notices if notice.startswith("prove the machine")]


def test_each_machine_is_proved_before_the_next_is_changed(world):
    run = world.apply(replicated("DEBUG"))

    assert run.error is None
    assert proved(run) == [f"prove the machine {slot}" for slot in SLOTS]
    assert world.levels() == dict.fromkeys(SLOTS, "DEBUG")
    steps = [n for n in run.notices if n.startswith(("update the machine", "prove"))]
    assert [step.split()[0] for step in steps] == ["update", "prove"] * 3
    assert {record[1] for record in world.records} == {"good"}


def test_a_machine_that_fails_ends_the_change_and_only_what_was_changed_is_put_back(world):
    run = world.apply(replicated("DEBUG", **{NO_PAGES: "false"}))

    assert isinstance(run.error, GateFailedError)
    assert "The last healthy release was restored" in run.error.message
    # Forward the services and the first machine, which is restarted once; back the same two.
    assert proved(run) == [
        f"prove the machine {slot}"
        for slot in ("services-1", "app-1", "app-1", "services-1", "app-1")
    ]
    assert not any("update the machine app-2" in notice for notice in run.notices)
    assert world.levels() == dict.fromkeys(SLOTS, "INFO")
    assert world.restarts() == 1  # of the one machine that failed


def test_a_later_machine_that_fails_alone_brings_all_back(world):
    world.sick = "app-2"

    run = world.apply(replicated("DEBUG"))

    assert isinstance(run.error, NotRolledBackError)  # it is sick with the old release, too
    assert world.levels() == dict.fromkeys(SLOTS, "INFO")


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"alone": frozenset({"leases"})}, "leases shared"),
        ({"alone": frozenset({"events"})}, "events shared"),
        ({"alone": frozenset({"runs"})}, "runs once"),
        ({"twice": True}, "runs once"),
    ],
    ids=["leases", "events", "runs", "twice"],
)
def test_machines_that_do_not_share_fail_the_gate(fault, check):
    world = Replicas(prefect=SharedPrefect(**fault))

    run = world.apply(replicated())

    assert isinstance(run.error, NotRolledBackError)
    assert check in run.error.message
    assert [result.name for result in run.error.checks if not result.ok] == [check]


def test_the_gate_asks_every_machine_of_the_api_and_never_that_of_the_services(world):
    assert set(world.served) == {"app-1", "app-2"}


class KilledAt(TroubledFly):
    """A Fly whose client is killed right after it updated the machine of a slot."""

    def __init__(self, world, slot):
        super().__init__(world.fly, is_followed_by_a_kill, 0)
        [self._key] = [
            key
            for key, machine in world.fly.machines.items()
            if machine["config"]["metadata"]["roost_slot"] == slot
        ]

    async def answer(self, request):
        """Answer one request."""
        if request.method == "POST" and request.url.path.endswith(f"/machines/{self._key}"):
            return await is_followed_by_a_kill(self, request)
        return await super().answer(request)


def test_a_bad_machine_that_a_killed_apply_left_ends_the_change_before_the_others_follow(world):
    bad = replicated("DEBUG", **{NO_PAGES: "false"})
    # Killed while it proved the first machine for the API.
    world.apply(bad, KilledAt(world, "app-1"))
    assert world.levels() == {"services-1": "DEBUG", "app-1": "DEBUG", "app-2": "INFO"}
    world.fly.leases.clear()  # those of a killed apply end after a while

    run = world.apply(bad)

    assert isinstance(run.error, GateFailedError)
    assert proved(run)[0] == "prove the machine app-1, which is changed"
    assert not any("update the machine app-2" in notice for notice in run.notices)
    assert world.levels() == dict.fromkeys(SLOTS, "INFO")

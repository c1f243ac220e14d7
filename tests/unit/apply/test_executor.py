"""Each step of a plan makes its calls, under leases, and nothing is called that should not be."""

from __future__ import annotations

import pytest

from helpers.applying import VALUE, applied_fly, desired_of, plan_and_apply
from helpers.environments import POSTGRES, PRIVATE
from helpers.fake_fly import FakeFly
from helpers.fly_calls import Held
from helpers.fly_trouble import TroubledFly, refuses
from roost.environment.model import AUTH_SECRET
from roost.errors import (
    ChangedMeanwhileError,
    FlyForbiddenError,
    FlyLeasedError,
    SecretsLagError,
    UnappliableError,
)
from roost.plan.backups import KEPT_KEY, NOTES_KEY
from roost.plan.restore import JOURNAL_KEY, Journal

DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
AWAKE = {"scaling": {"min_machines_running": 1}}
HOOK = {"secrets": [AUTH_SECRET, "SLACK_HOOK"]}
LARGER = {"database": {"backend": "sqlite", "volume_gb": 3}}


def only(things):
    [thing] = things.values()
    return thing


def by_hand(fly, **config):
    """Change the one machine as somebody else would, behind the plan's back."""
    machine = only(fly.machines)
    machine["config"] |= config
    machine["instance_id"] = "changed-by-hand"


class Overtaken:
    """Somebody without a lease is faster with each update."""

    def __init__(self, fly):
        self.fly = fly
        self.scope = None

    async def answer(self, request):
        """Answer one request."""
        path = request.url.path.partition("/machines/")[2]
        if request.method == "POST" and path in self.fly.machines:
            by_hand(self.fly)
        return self.fly(request)


def test_the_first_apply_makes_everything_and_hands_the_machine_over():
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of())

    machine = only(fly.machines)
    assert fly.changes == [
        "POST app",
        "POST ip_assignments",
        "POST ip_assignments",
        "POST volumes",
        "POST secrets",
        "POST machines",
        f"POST machines/{machine['id']}/lease",  # says who holds the lease that came with it
        f"DELETE machines/{machine['id']}/lease",
    ]
    assert run.touched == {machine["id"]: machine["instance_id"]}
    assert run.notices == [step.summary for step in run.plan.steps]
    assert only(fly.volumes)["attached_machine_id"] == machine["id"]


def test_a_second_apply_only_reads_and_little():
    fly = applied_fly(desired_of())

    run = plan_and_apply(fly, desired_of())

    assert (run.kinds, run.touched, run.notices) == ([], {}, [])
    assert {ask.verb for ask in fly.asked} == {"GET"}
    assert len(fly.asked) <= 5


def test_an_update_is_made_under_a_lease_that_is_given_back():
    fly = applied_fly(desired_of())
    key = only(fly.machines)["id"]

    run = plan_and_apply(fly, desired_of(DEBUG))

    machine = f"machines/{key}"
    assert fly.changes == [f"POST {machine}/lease", f"POST {machine}", f"DELETE {machine}/lease"]
    assert run.touched == {key: only(fly.machines)["instance_id"]}
    assert fly.leases == {}


def test_an_update_keeps_the_machine_asleep():
    fly = applied_fly(desired_of(), "suspended")

    plan_and_apply(fly, desired_of(DEBUG))

    machine = only(fly.machines)
    assert machine["state"] == "stopped"
    assert machine["config"]["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_a_machine_that_must_run_is_started_where_an_update_leaves_it_stopped():
    fly = applied_fly(desired_of(AWAKE), "stopped")
    key = only(fly.machines)["id"]

    run = plan_and_apply(fly, desired_of(AWAKE, DEBUG))

    assert run.error is None
    assert f"POST machines/{key}/start" in fly.changes
    assert only(fly.machines)["state"] == "started"


@pytest.mark.parametrize("parts", [(), (HOOK,)], ids=["a new machine", "an update"])
def test_hosts_that_do_not_know_new_secrets_yet_are_waited_for(parts):
    fly = applied_fly(desired_of()) if parts else FakeFly()
    fly.secrets_lag = 3

    run = plan_and_apply(fly, desired_of(*parts))

    assert run.error is None
    assert fly.secrets_lag == 0
    assert len(fly.machines) == 1


def test_hosts_that_never_learn_new_secrets_are_no_change_by_somebody_else():
    fly = applied_fly(desired_of())
    fly.secrets_lag = 1_000_000

    run = plan_and_apply(fly, desired_of(HOOK))

    assert isinstance(run.error, SecretsLagError)
    assert "Run the same command again" in str(run.error)
    fly.secrets_lag = 0
    assert plan_and_apply(fly, desired_of(HOOK)).error is None
    assert set(fly.boots[only(fly.machines)["id"]].secrets) == {AUTH_SECRET, "SLACK_HOOK"}


def test_an_update_that_somebody_was_faster_with_is_not_taken_for_a_lag():
    fly = applied_fly(desired_of())

    run = plan_and_apply(fly, desired_of(HOOK), Overtaken(fly))

    assert isinstance(run.error, ChangedMeanwhileError)


def test_a_machine_that_changed_since_the_plan_is_left_as_it_is():
    fly = applied_fly(desired_of())

    run = plan_and_apply(
        fly, desired_of(DEBUG), between=lambda: by_hand(fly, env={"BY": "somebody else"})
    )

    assert isinstance(run.error, ChangedMeanwhileError)
    assert run.error.where == "machine/app-1"
    assert "roost plan staging" in str(run.error)
    assert only(fly.machines)["config"]["env"] == {"BY": "somebody else"}
    assert fly.leases == {}


@pytest.mark.parametrize("change", [DEBUG, {"scaling": {"count": 0}}], ids=["update", "destroy"])
def test_a_lease_that_somebody_holds_is_waited_for(change):
    fly = applied_fly(desired_of(POSTGRES))
    key = only(fly.machines)["id"]
    fly.leases[key] = Held("another-apply", looks=3)

    run = plan_and_apply(fly, desired_of(POSTGRES, change))

    assert run.error is None
    assert fly.changes.count(f"POST machines/{key}/lease") == 4
    assert [note for note in run.notices if "is being changed by roost apply; waiting" in note]


def test_a_lease_that_stays_held_is_never_broken(monkeypatch):
    monkeypatch.setattr("roost.apply.work.LEASE_PATIENCE_S", 0.05)
    fly = applied_fly(desired_of())
    fly.leases[only(fly.machines)["id"]] = Held("another-apply")
    before = fly.picture()

    run = plan_and_apply(fly, desired_of(DEBUG))

    assert isinstance(run.error, FlyLeasedError)
    assert fly.picture() == before


def test_new_secrets_reach_the_machine_that_boots_with_them():
    fly = applied_fly(desired_of())
    key = only(fly.machines)["id"]

    plan_and_apply(fly, desired_of(HOOK))

    assert fly.sent("POST secrets") == {"values": {"SLACK_HOOK": VALUE}}
    assert fly.sent(f"POST machines/{key}")["min_secrets_version"] == fly.secrets_version
    assert set(fly.boots[key].secrets) == {AUTH_SECRET, "SLACK_HOOK"}


def test_the_first_machine_waits_for_the_first_secrets():
    fly = FakeFly()

    plan_and_apply(fly, desired_of())

    assert fly.sent("POST machines")["min_secrets_version"] == 1


def test_secrets_that_are_not_declared_go_in_one_batch_where_the_file_says_so():
    fly = applied_fly(desired_of())
    fly.secrets |= {"OLD": "x", "OLDER": "y"}

    plan_and_apply(fly, desired_of(prune=True))

    assert fly.sent("POST secrets") == {"values": {"OLD": None, "OLDER": None}}
    assert set(fly.boots[only(fly.machines)["id"]].secrets) == {AUTH_SECRET}


def test_secrets_alone_change_no_version_that_machines_wait_for():
    fly = applied_fly(desired_of())

    plan_and_apply(fly, desired_of(DEBUG))

    assert "min_secrets_version" not in fly.sent(f"POST machines/{only(fly.machines)['id']}")


@pytest.mark.parametrize(("state", "after"), [("started", "started"), ("suspended", "stopped")])
def test_a_larger_volume_is_seen_at_once_by_who_is_awake_and_by_sleepers_when_they_wake(
    state, after
):
    fly = applied_fly(desired_of(), state)
    key = only(fly.machines)["id"]

    plan_and_apply(fly, desired_of(LARGER))
    found = only(fly.machines)["state"]
    fly.wake()

    assert found == after
    assert fly.boots[key].volume_gb == 3
    assert only(fly.volumes)["size_gb"] == 3


def test_snapshots_are_kept_longer_without_touching_the_machine():
    fly = applied_fly(desired_of())

    run = plan_and_apply(
        fly, desired_of(database={"backend": "sqlite", "snapshot_retention_days": 9})
    )

    assert fly.changes == [f"PUT volumes/{only(fly.volumes)['id']}"]
    assert only(fly.volumes)["snapshot_retention"] == 9
    assert run.touched == {}


def test_a_machine_that_must_run_is_started_under_a_lease():
    always_on = desired_of(scaling={"min_machines_running": 1})
    fly = applied_fly(always_on, "stopped")
    machine = f"machines/{only(fly.machines)['id']}"

    run = plan_and_apply(fly, always_on)

    assert fly.changes == [
        f"POST {machine}/lease",
        f"POST {machine}/start",
        f"DELETE {machine}/lease",
    ]
    assert list(run.touched) == [only(fly.machines)["id"]]


def test_machines_that_are_not_asked_for_go_and_their_leases_with_them():
    fly = applied_fly(desired_of(POSTGRES, scaling={"count": 3}))

    run = plan_and_apply(fly, desired_of(POSTGRES))

    assert [machine["name"] for machine in fly.machines.values()] == ["app-1"]
    assert run.touched == {}
    assert fly.leases == {}


def test_a_private_server_gives_its_public_addresses_away_last():
    fly = applied_fly(desired_of())

    run = plan_and_apply(fly, desired_of(PRIVATE))

    assert run.kinds == ["assign-ip", "update-machine", "release-ip", "release-ip"]
    assert [ip["type"] for ip in fly.ips] == ["private_v6"]


def test_a_plan_with_a_refusal_is_not_begun():
    fly = applied_fly(desired_of(LARGER))
    before = fly.picture()

    run = plan_and_apply(fly, desired_of(DEBUG))

    assert isinstance(run.error, UnappliableError)
    assert run.error.exit_code == 3
    assert "volume/data: the volume has 3 GB; Fly cannot shrink it to 1." in str(run.error)
    assert str(run.error).endswith("Set volume_gb to 3. Nothing was changed.")
    assert fly.changes == []
    assert fly.picture() == before


def test_what_fly_refuses_ends_the_run_and_what_was_done_stays():
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of(), TroubledFly(fly, refuses, 4))

    assert isinstance(run.error, FlyForbiddenError)
    assert fly.organization == "personal"
    assert fly.machines == {}


JOURNAL = {JOURNAL_KEY: Journal("vs_1", 2, "2026-01-01T00:00:00Z").entry()[JOURNAL_KEY]}


@pytest.mark.parametrize(
    ("state", "change"),
    [("started", DEBUG), ("stopped", {"scaling": {"min_machines_running": 1}})],
    ids=["update", "start"],
)
def test_a_machine_that_a_restore_left_meanwhile_is_left_to_be_settled(state, change):
    """It is the same version: neither a lease nor a note makes another one."""
    fly = applied_fly(desired_of(), state)
    key = only(fly.machines)["id"]

    def begin_a_restore():
        only(fly.machines)["config"]["metadata"] |= JOURNAL

    run = plan_and_apply(fly, desired_of(change), between=begin_a_restore)

    assert isinstance(run.error, ChangedMeanwhileError)
    assert only(fly.machines)["config"]["metadata"].items() >= JOURNAL.items()
    assert fly.changes == [f"POST machines/{key}/lease", f"DELETE machines/{key}/lease"]


def test_what_backups_note_meanwhile_stays():
    fly = applied_fly(desired_of())
    notes = {NOTES_KEY: "a backup", KEPT_KEY: "vol_9"}

    def back_up():
        only(fly.machines)["config"]["metadata"] |= notes

    assert plan_and_apply(fly, desired_of(DEBUG), between=back_up).error is None

    assert only(fly.machines)["config"]["metadata"].items() >= notes.items()
    assert only(fly.machines)["config"]["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_an_apply_that_was_overtaken_sets_and_removes_no_secret():
    fly = applied_fly(desired_of(HOOK))
    newer = dict(fly.secrets)

    run = plan_and_apply(
        fly, desired_of({"prune": True}), between=lambda: by_hand(fly, env={"BY": "the newer one"})
    )

    assert "unset-secrets" in run.kinds
    assert isinstance(run.error, ChangedMeanwhileError)
    assert fly.secrets == newer

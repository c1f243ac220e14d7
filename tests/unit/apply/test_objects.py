"""Prefect's objects on a server: made as the file says, whatever is lost on the way, and no secret shown."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace

import anyio
import httpx
import pytest

from helpers.applying import EveryName, applied_fly, desired_of
from helpers.fake_objects import WEBHOOK, FakeObjects
from helpers.fake_prefect import LOGIN, FakePrefect, opens, say
from roost.apply.objects import ObjectsServer, find_differences, reconcile
from roost.apply.objects_step import ObjectsKeeper
from roost.apply.work import Work, lease_holder
from roost.environment.prefect_objects import PrefectObject
from roost.errors import ChangedMeanwhileError, ObjectsError
from roost.fly.client import FlyClient
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.diff import base_state
from roost.plan.live import read_live
from roost.plan.objects_record import OBJECTS_KEY, ObjectsRecord, decode
from roost.plan.secrets import FIELD
from roost.plan.steps import Change, Plan, ReconcileObjects
from roost.prefect.objects import is_kept_secret
from roost.prefect.objects_api import ObjectsUnreachableError
from roost.secret_text import SecretText

VALUE = "https://hooks.example/T0/hunter2"
REGION = ("variables", {"name": "region", "value": "eu"})
OPS = ("blocks", {"name": "ops", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}, "to": "x"}})
LIMIT = ("concurrency_limits", {"name": "warehouse", "limit": 2})
POOL = ("work_pools", {"name": "etl", "type": "process", "concurrency_limit": 2})
ZOMBIES = (
    "automations",
    {
        "name": "Crash zombies",
        "trigger": {"type": "event", "within": "PT10M"},
        "actions": [{"type": "send-notification", "block_document_id": f"{WEBHOOK}/ops"}],
    },
)
ZOMBIES_ALONE = ("automations", {"name": "Crash zombies", "trigger": {"within": "PT10M"}, "actions": []})  # fmt: skip
ALL = (REGION, OPS, LIMIT, POOL, ZOMBIES)
NAMES = {
    *("variables/region", f"block_documents/{WEBHOOK}/ops", "concurrency_limits/warehouse"),
    *("work_pools/etl", "automations/Crash zombies"),
}


class KilledError(BaseException):
    """The process is gone."""


def step(*entries, removed=()):
    """Return the step for these entries."""
    by_section = {}
    for section, body in entries:
        by_section.setdefault(section, []).append(body)
    sources = {"HOOK": "env HOOK"}
    return ReconcileObjects(key="k", summary="s", path="prefect/x.yaml", objects=by_section, removed=removed, sources=sources)  # fmt: skip


class Served:
    """The server at every address: each test has its own."""

    fake: FakePrefect

    @classmethod
    def open(cls, url, timeout_s, *, headers=None):
        """Open a client of it."""
        return opens(cls.fake)(url, timeout_s, headers=headers)


@pytest.fixture
def prefect(monkeypatch):
    """A server at every address."""
    monkeypatch.setattr(Served, "fake", FakePrefect(), raising=False)
    return Served.fake


def server(value=VALUE, auth=LOGIN):
    """Return the server with the value of the one secret."""

    async def url():
        return "http://prefect.test"

    return ObjectsServer(url, SecretText(auth), {"HOOK": SecretText(value)}, Served.open)


def made(*entries, record=None, lines=None, removed=(), value=VALUE, auth=LOGIN):
    """Reconcile these entries, and return the outcome."""
    notice = (lines if lines is not None else []).append
    known = record or ObjectsRecord()
    wanted = step(*entries, removed=removed)
    return anyio.run(reconcile, server(value, auth), wanted, known, notice, no_claims)


async def no_claims(_keys):
    """Keep nothing: these tests are not killed."""


def made_keys(*entries):
    """Return the keys of entries."""
    return tuple(PrefectObject(*entry).key for entry in entries)


def drift(*entries, record):
    """Return the fields in which the server differs from these entries."""
    wanted = tuple(PrefectObject(section, body) for section, body in entries)
    return anyio.run(find_differences, server(), wanted, record)


def test_every_kind_is_created_and_a_second_pass_writes_nothing(prefect):
    first = made(*ALL)
    writes = list(prefect.objects.writes)

    second = made(*ALL, record=first.record)

    assert prefect.objects.names() == NAMES
    assert (first.failed, first.done, second.done) == ({}, 5, 0)
    assert prefect.objects.writes == writes
    assert second.record == first.record


def test_without_a_record_a_second_pass_adopts_and_writes_only_what_it_cannot_compare(prefect):
    made(*ALL)
    prefect.objects.writes.clear()
    lines = []

    again = made(*ALL, lines=lines)

    assert again.failed == {}
    assert lines == [
        "variables/region: adopted as it is",
        f"blocks/{WEBHOOK}/ops: adopted, and changed url",
        *(f"{key}: adopted as it is" for key in ("concurrency_limits/warehouse", "work_pools/etl")),
        "automations/Crash zombies: adopted as it is",
    ]


def test_a_block_gets_the_value_of_its_secret_and_an_action_the_id_of_its_block(prefect):
    made(*ALL)

    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    zombies = prefect.objects.fields("automations", "Crash zombies")
    assert block["data"] == {"url": VALUE, "to": "x"}
    assert zombies["actions"][0]["block_document_id"] == block["id"]


def test_an_object_of_the_same_name_is_adopted_and_only_what_the_file_sets_is_changed(prefect):
    prefect.objects.things[("work_pools", "etl")] = {"id": "1", "name": "etl", "type": "process", "concurrency_limit": 9, "is_paused": True}  # fmt: skip
    lines = []

    made(POOL, lines=lines)

    assert lines == ["work_pools/etl: adopted, and changed concurrency_limit"]
    assert prefect.objects.fields("work_pools", "etl")["is_paused"] is True


def test_another_form_that_prefect_returns_is_written_once(prefect):
    prefect.objects.respells = True
    first = made(*ALL)
    prefect.objects.writes.clear()

    second = made(*ALL, record=first.record)

    assert (second.done, prefect.objects.writes) == (0, [])
    assert drift(*ALL, record=first.record) == ()


def test_what_a_hand_changed_is_found_by_field_and_a_secret_without_its_value(prefect):
    record = made(*ALL).record
    things = prefect.objects.things
    things[("work_pools", "etl")]["concurrency_limit"] = 9
    things[("block_documents", f"{WEBHOOK}/ops")] |= {"data": {"url": "https://other/hunter3", "to": "x"}, "updated": "later"}  # fmt: skip
    del things[("variables", "region")]

    found = drift(*ALL, record=record)

    assert [(c.field, c.old, c.new) for c in found] == [
        ("variables/region", None, "as the file says"),
        (f"blocks/{WEBHOOK}/ops.data.url", "changed since the last apply", "as it was applied"),
        ("work_pools/etl.concurrency_limit", 9, 2),
    ]
    assert "hunter" not in repr(found)
    healed = made(*ALL, record=record)
    assert drift(*ALL, record=healed.record) == ()


def test_another_value_of_a_secret_is_written_alone(prefect):
    record = made(*ALL).record
    prefect.objects.writes.clear()

    again = made(*ALL, record=record, value="https://hooks.example/T0/hunter4")

    assert len(prefect.objects.writes) == 1
    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    assert block["data"]["url"].endswith("hunter4")
    assert made(*ALL, record=again.record, value="https://hooks.example/T0/hunter4").done == 0


def test_an_object_that_is_no_longer_wanted_is_removed_and_may_be_gone_already(prefect):
    record = made(*ALL).record
    del prefect.objects.things[("concurrency_limits", "warehouse")]

    after = made(REGION, record=record, removed=tuple(sorted(record.keys - {"variables/region"})))

    assert after.failed == {}
    assert prefect.objects.names() == {"variables/region"}
    assert after.record.keys == {"variables/region"}


def test_a_work_pool_with_runs_is_not_removed_and_stays_known(prefect):
    record = made(POOL).record
    prefect.objects.runs["etl"] = 3

    after = made(record=record, removed=("work_pools/etl",))

    assert "3 runs are scheduled or running in it" in after.failed["work_pools/etl"]
    assert after.record.keys == {"work_pools/etl"}
    assert prefect.objects.names() == {"work_pools/etl"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (("variables", {"name": "a", "value": "bad"}), "value: is bad (status 422)"),
        (("blocks", {"name": "a", "type": "none", "data": {}}), "has no block type none"),
        (("blocks", {"name": "a", "type": WEBHOOK, "data": {"url": "https://hunter2"}}), "data.url: Prefect keeps this field secret"),
        (("blocks", {"name": "a", "type": "plain", "data": {"x": {"secret": "HOOK"}}}), "data.x: Prefect does not keep this field secret"),
        (("work_pools", {"name": "etl", "type": "docker"}), "its type is process on the server"),
        (("automations", {"name": "a", "trigger": {}, "actions": [{"block_document_id": "x/y"}]}), "there is no blocks/x/y"),
        (("automations", {"name": "twice", "trigger": {}, "actions": []}), "there are 2 automations of this name"),
        (("blocks", {"name": "bad", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}}}), "value: is bad"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_entry_and_the_others_go_on(prefect, entry, reason):
    made(("work_pools", {"name": "etl", "type": "process"}))
    for number in (1, 2):
        prefect.objects.things[("automations", f"twice#{number}")] = {"id": str(number), "name": "twice", "trigger": {}}  # fmt: skip

    outcome = made(entry, ("automations", {"name": "last", "trigger": {}, "actions": []}))

    [why] = outcome.failed.values()
    assert reason in why
    assert "hunter2" not in why
    assert "automations/last" in prefect.objects.names()
    assert "automations/last" in outcome.record.others
    assert outcome.record.objects == ()


def test_a_failed_entry_that_says_the_same_is_planned_again_with_its_fingerprints_known(prefect):
    record = made(*ALL).record
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9
    prefect.broken[("PATCH", "/api/work_pools/etl")] = say(500, {})
    prefect.broken[("GET", f"/api/block_types/slug/{WEBHOOK}/block_documents/name/ops")] = say(500, {})  # fmt: skip

    outcome = made(*ALL, record=record)

    left = {"work_pools/etl", f"blocks/{WEBHOOK}/ops"}
    assert outcome.failed.keys() >= left
    assert outcome.record.keys == record.keys
    assert set(outcome.record.unfinished) == outcome.failed.keys()
    assert (
        outcome.record.written[f"blocks/{WEBHOOK}/ops"] == record.written[f"blocks/{WEBHOOK}/ops"]
    )


@pytest.mark.usefixtures("prefect")
def test_a_namesake_that_cannot_be_changed_does_not_become_roost_s():
    made(("work_pools", {"name": "etl", "type": "docker"}))
    lines = []

    outcome = made(POOL, REGION, lines=lines)

    assert "its type is docker" in outcome.failed["work_pools/etl"]
    assert outcome.record.keys == {"variables/region"}
    assert lines == ["variables/region: created"]


def test_a_field_that_prefect_drops_is_reported(prefect):
    prefect.objects.respells = True
    lines = []

    made(ZOMBIES_ALONE, lines=lines)

    assert lines[1:] == ["automations/Crash zombies.trigger: the server shows another value"]


def test_new_values_of_secrets_are_written_and_nothing_else(prefect):
    record = made(*ALL).record
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9
    prefect.asked.clear()
    rotation = replace(step(*ALL), changes=(Change(FIELD, None, "set HOOK"),))

    outcome = anyio.run(
        reconcile, server("https://hooks.example/hunter4"), rotation, record, print, no_claims
    )

    assert outcome.done == 1
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 9
    assert not [path for _, path in prefect.asked if "work_pools" in path]
    assert outcome.record.objects == record.objects


def test_after_a_restore_a_block_gets_its_value_again_although_it_is_the_last_one(prefect):
    record = made(OPS).record
    prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")["data"]["url"] = "https://older"

    again = made(OPS, record=record.outdated())

    assert again.done == 1
    assert prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")["data"]["url"] == VALUE


def test_a_failed_entry_is_remembered_as_the_last_apply_left_it(prefect):
    record = made(LIMIT).record
    worse = ("concurrency_limits", {"name": "warehouse", "limit": "bad"})

    outcome = made(worse, record=record)

    assert outcome.record.objects == record.objects
    assert prefect.objects.fields("concurrency_limits", "warehouse")["limit"] == 2


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (httpx.ConnectError("refused"), "the server does not answer (ConnectError)"),
        (say(502, {}), "the server failed (status 502)"),
        (say(200, []), "the server answers something else than Prefect does"),
    ],
)
def test_a_server_that_stops_answering_leaves_the_rest(prefect, wrong, reason):
    prefect.broken[("GET", "/api/v2/concurrency_limits/*")] = wrong

    outcome = made(*ALL, record=ObjectsRecord(others=made_keys(*ALL)))

    assert outcome.failed == dict.fromkeys(
        ("concurrency_limits/warehouse", "work_pools/etl", "automations/Crash zombies"), reason
    )
    assert prefect.objects.names() == {"variables/region", f"block_documents/{WEBHOOK}/ops"}


def test_a_fault_of_prefect_s_own_concerns_one_object(prefect):
    prefect.broken[("POST", "/api/automations/")] = say(500, {})

    outcome = made(*ALL)

    assert list(outcome.failed) == ["automations/Crash zombies"]
    assert "status 500" in outcome.failed["automations/Crash zombies"]


def test_another_login_is_an_answer_and_nothing_is_written(prefect):
    outcome = made(*ALL, auth="admin:other")

    assert set(outcome.failed.values()) == {"the server refuses the login"}
    assert prefect.objects.writes == []


def test_drift_of_a_server_that_does_not_answer_is_an_error_of_its_own(prefect):
    prefect.broken[("GET", "/api/variables/*")] = httpx.ReadTimeout("late")

    with pytest.raises(ObjectsUnreachableError, match="ReadTimeout"):
        drift(REGION, record=ObjectsRecord())


@pytest.mark.parametrize(
    ("path", "fields", "kept"),
    [
        (("url",), ("url",), True),
        (("url", "x"), ("url",), False),
        (("users", "ada", "password"), ("users.*",), True),
        (("users",), ("users.*.password",), True),
        (("mode",), ("users.*", "url"), False),
    ],
)
def test_a_field_is_kept_secret_as_prefect_s_server_decides_it(path, fields, kept):
    assert is_kept_secret(path, fields) is kept


# The record on the machines, and an apply that is killed


APP, NAME = "acme-prefect", "staging"


def carry_out(fly, given_step, between=lambda: None):
    """Carry out a step against a fake Fly; return the lines that were printed.

    `between` is called after the plan was made.
    """
    lines = []

    async def run():
        transport = httpx.MockTransport(fly)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
            lease_holder(client, APP, lines.append, "test") as leases,
        ):
            base = base_state(await read_live(client, APP))
            between()
            work = Work(client, leases, EveryName(), lines.append)
            plan = Plan(NAME, APP, (given_step,), (), (), base)
            await ObjectsKeeper(work, server(), APP, NAME).carry_out(given_step, plan)

    anyio.run(run)
    return lines


def record_of(fly):
    """Return the record on the one machine."""
    [machine] = fly.machines.values()
    assert machine["config"]["metadata"][ENVIRONMENT_KEY] == NAME
    return decode(machine["config"]["metadata"].get(OBJECTS_KEY, "")) or ObjectsRecord()


def killing(numbers: Callable[[int], bool]):
    """Return what ends the process at a write."""

    def end(number):
        if numbers(number):
            raise KilledError

    return end


@pytest.mark.parametrize("moment", ["before_write", "after_write"])
@pytest.mark.parametrize("nth", range(5))
def test_an_apply_that_is_killed_at_any_write_is_finished_by_the_next(prefect, moment, nth):
    fly = applied_fly(desired_of())
    setattr(prefect.objects, moment, killing(lambda number: number == nth))
    with pytest.raises(BaseException) as ended:  # noqa: PT011 - a process that is gone says nothing
        carry_out(fly, step(*ALL))
    assert "KilledError" in repr(ended.value) + repr(getattr(ended.value, "exceptions", ""))
    between = record_of(fly)
    setattr(prefect.objects, moment, lambda _: None)

    # What was created and is in no file any more is known to be Roost's.
    there = prefect.objects.names()
    known = {key.replace("blocks/", "block_documents/") for key in between.keys}
    assert there <= known
    carry_out(fly, step(*ALL))

    assert prefect.objects.names() == NAMES
    assert record_of(fly).objects == tuple(PrefectObject(*entry) for entry in ALL)
    assert record_of(fly).others == ()
    assert sum(write.startswith("POST") for write in prefect.objects.writes) == len(ALL)


@pytest.mark.parametrize("is_killed", [False, True])
def test_prune_does_not_remove_what_somebody_made_by_hand_after_the_entry_got_another_name(
    prefect, is_killed
):
    made(("work_pools", {"name": "etl", "type": "docker"}))
    fly = applied_fly(desired_of())
    if is_killed:
        prefect.objects.before_write = killing(lambda _: True)
    with pytest.raises(BaseException) as ended:  # noqa: PT011 - a process that is gone says nothing
        carry_out(fly, step(REGION, POOL))
    assert is_killed is not isinstance(ended.value, ObjectsError)

    assert record_of(fly).keys == {"variables/region"}


@pytest.mark.usefixtures("prefect")
def test_a_refused_object_is_not_claimed_after_the_apply():
    fly = applied_fly(desired_of())
    bad = ("variables", {"name": "a", "value": "bad"})

    for _ in range(2):
        with pytest.raises(ObjectsError):
            carry_out(fly, step(bad))
        assert record_of(fly).keys == frozenset()


def test_a_lost_answer_is_an_error_and_the_next_apply_goes_on(prefect):
    fly = applied_fly(desired_of())

    def lose(number):
        if number == 2:
            raise httpx.ReadError("reset")

    prefect.objects.after_write = lose
    with pytest.raises(ObjectsError) as failed:
        carry_out(fly, step(*ALL))
    prefect.objects.after_write = lambda _: None

    assert "3 of Prefect's objects are not as prefect/x.yaml says" in str(failed.value)
    assert "2 others were written" in str(failed.value)
    assert record_of(fly).keys == frozenset(made_keys(REGION, OPS, LIMIT))  # the last may exist
    assert carry_out(fly, step(*ALL))
    assert prefect.objects.names() == NAMES


@pytest.mark.usefixtures("prefect")
def test_what_somebody_made_by_hand_is_adopted_and_the_apply_says_so():
    made(LIMIT)
    fly = applied_fly(desired_of())
    larger = ("concurrency_limits", {"name": "warehouse", "limit": 5})

    lines = carry_out(fly, step(larger, REGION))

    assert lines[1:] == [
        "  variables/region: created",
        "  concurrency_limits/warehouse: adopted, and changed limit",
    ]
    assert carry_out(fly, step(larger, REGION))[1:] == []


def test_an_apply_of_an_older_plan_does_not_undo_what_another_one_set(prefect):
    fly = applied_fly(desired_of())
    carry_out(fly, step(REGION))
    newer = ("variables", {"name": "region", "value": "us"})

    with pytest.raises(ChangedMeanwhileError, match="Another apply set Prefect's objects"):
        carry_out(fly, step(REGION), between=lambda: _set_by_another(fly, newer))

    assert prefect.objects.fields("variables", "region")["value"] == "eu"


def _set_by_another(fly, entry):
    """Write the record of another apply."""
    [machine] = fly.machines.values()
    record = ObjectsRecord((PrefectObject(*entry),))
    machine["config"]["metadata"][OBJECTS_KEY] = record.encoded()


def test_no_value_of_a_secret_is_in_anything_that_is_printed_kept_or_raised(prefect, capsys):
    fly = applied_fly(desired_of())
    worse = ("blocks", {"name": "bad", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}}})

    with pytest.raises(ObjectsError) as failed:
        carry_out(fly, step(*ALL, worse))
    lines = carry_out(fly, step(*ALL))

    [machine] = fly.machines.values()
    kept = decode(machine["config"]["metadata"][OBJECTS_KEY])
    whole = server()
    shown = "".join(
        (
            *(str(failed.value), repr(failed.value), *lines, *capsys.readouterr()),
            *(json.dumps(machine), repr(kept), repr(whole), str(whole), repr(step(*ALL))),
        )
    )
    for spelling in (VALUE, "hunter2", VALUE.replace("/", "\\/")):
        assert spelling not in shown
    with pytest.raises(TypeError):
        pickle.dumps(whole.values["HOOK"])
    assert prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")["data"]["url"] == VALUE


def test_a_value_of_several_lines_that_prefect_repeats_is_hidden(prefect):
    value = "-----BEGIN KEY-----\nhunter2\n-----END KEY-----\n"
    detail = {"loc": ["body", "data"], "msg": f"no URL: {value}"}
    prefect.broken[("POST", "/api/block_documents/")] = say(422, {"exception_detail": [detail]})

    [why] = made(OPS, value=value).failed.values()

    assert why.startswith("data: no URL: ")
    assert "hunter2" not in why


def test_the_fake_refuses_and_repeats_what_it_was_sent_as_prefect_does():
    """Else the test above could not fail."""
    answer = FakeObjects().answer("POST", "variables/", {"name": "a", "value": f"bad {VALUE}"})

    assert answer.status_code == 422
    assert VALUE in answer.text

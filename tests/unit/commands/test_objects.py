"""Prefect's objects by the commands: planned without the server, applied after its gate, compared by drift."""

from __future__ import annotations

import json

import pytest
import yaml

from helpers.environments import environment_data
from helpers.fake_objects import WEBHOOK
from helpers.fake_prefect import say
from helpers.overrides import end_override
from roost.environment.model import AUTH_SECRET

PATH = "prefect/staging.yaml"
DEMO = ("--min-machines-running", "1", "--until", "4h", "--reason", "demo")
VALUE = "https://hooks.example/T0/hunter2"
GOOD = {
    "work_pools": [{"name": "etl", "type": "process", "concurrency_limit": 2}],
    "variables": [{"name": "region", "value": "eu"}],
    "blocks": [{"name": "ops", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}}}],
}
NAMES = {"work_pools/etl", "variables/region", f"block_documents/{WEBHOOK}/ops"}


@pytest.fixture(autouse=True)
def write(tmp_path, roost, monkeypatch):  # noqa: ARG001 - it makes the folder its own
    """Writes the environment and its file of objects."""
    (tmp_path / ".git").mkdir(exist_ok=True)
    (tmp_path / "prefect").mkdir(exist_ok=True)
    monkeypatch.setenv("HOOK", VALUE)

    def write(found=GOOD, **fields):
        (tmp_path / PATH).write_text(yaml.safe_dump(found))
        prefect = {"objects": PATH, "object_secrets": ["HOOK"]}
        data = environment_data({"prefect": prefect}, **fields)
        (tmp_path / "staging.yaml").write_text(yaml.safe_dump(data))

    write()
    return write


def larger(**fields):
    """Return the objects with fields of the work pool changed."""
    return {**GOOD, "work_pools": [{**GOOD["work_pools"][0], **fields}]}


def test_an_apply_sets_them_after_the_gate_and_a_second_one_asks_nobody(roost, prefect):
    said = roost("apply", "staging")

    assert said.code == 0, said.err
    assert prefect.objects.names() == NAMES
    gate = prefect.asked.index(("POST", "/roost/open"))
    assert gate < prefect.asked.index(("POST", "/api/variables/"))
    prefect.asked.clear()
    assert roost("apply", "staging").code == 0
    assert prefect.asked == []


def test_a_changed_entry_is_planned_without_a_call_and_applied_without_a_gate(
    roost, write, prefect, fly
):
    roost("apply", "staging")
    write(larger(concurrency_limit=5))
    prefect.asked.clear()

    planned = json.loads(roost("plan", "staging", "--json").out)

    assert [step["kind"] for step in planned["steps"]] == ["reconcile-objects"]
    [change] = planned["steps"][0]["changes"]
    assert change == {"field": "work_pools/etl.concurrency_limit", "old": 2, "new": 5}
    assert prefect.asked == []
    before = len(fly.machines)
    assert roost("apply", "staging").code == 0
    assert ("GET", "/api/health") not in prefect.asked
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 5
    assert len(fly.machines) == before


def test_a_server_that_fails_its_gate_gets_none_of_them(roost, prefect):
    prefect.broken[("GET", "/")] = say(404)

    said = roost("apply", "staging")

    assert said.code == 5
    assert prefect.objects.names() == set()


def test_a_refused_entry_is_an_error_and_the_next_apply_goes_on(roost, write, prefect):
    write({**GOOD, "variables": [{"name": "region", "value": "bad"}]})

    said = roost("apply", "staging")

    assert said.code == 1
    assert "error [prefect-objects]" in said.err
    assert "variables/region: value: is bad (status 422). 2 others were written" in said.err
    write()
    assert roost("apply", "staging").code == 0
    assert prefect.objects.names() == NAMES
    assert roost("plan", "staging", "--exit-code").code == 0


def object_steps(roost):
    """Return the planned step for objects, as an approval seals it and a comment shows it."""
    steps = json.loads(roost("plan", "staging", "--json").out)["steps"]
    return [step for step in steps if step["kind"] == "reconcile-objects"]


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_what_failed_in_part_is_planned_again_as_it_was_approved(
    roost, write, prefect, monkeypatch, is_new
):
    """A deploy that is run again carries out what the pull request showed, and nothing else."""
    write(larger() if is_new else GOOD)
    if not is_new:
        roost("apply", "staging")
        write({**larger(concurrency_limit=5), "variables": [{"name": "region", "value": "us"}]})
        monkeypatch.setenv("HOOK", f"{VALUE}3")
    refused = ("POST", "/api/variables/") if is_new else ("PATCH", "/api/variables/name/region")
    approved = object_steps(roost)
    prefect.broken[refused] = say(500, {})

    failed = roost("apply", "staging")
    again = object_steps(roost)
    del prefect.broken[refused]
    done = roost("apply", "staging")

    assert (failed.code, done.code) == (1, 0), done.err
    assert again == approved
    assert prefect.objects.names() == NAMES
    assert roost("plan", "staging", "--exit-code").code == 0


def test_a_file_that_goes_back_after_a_part_failed_is_applied_again(roost, write, prefect):
    """The server may have what was taken back."""
    roost("apply", "staging")
    write({**larger(concurrency_limit=5), "variables": [{"name": "region", "value": "bad"}]})
    roost("apply", "staging")
    write()

    [planned] = object_steps(roost)
    done = roost("apply", "staging")

    assert "set variables/region, work_pools/etl again" in planned["summary"]
    assert done.code == 0, done.err
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 2
    assert object_steps(roost) == []


def test_a_missing_value_stops_an_apply_before_any_call(roost, fly, monkeypatch):
    monkeypatch.delenv("HOOK")

    said = roost("apply", "staging")

    assert said.code == 3
    assert "No value for HOOK" in said.err
    assert fly.changes == []


def test_an_entry_that_is_gone_stays_unless_prune_removes_it(roost, write, prefect):
    roost("apply", "staging")
    less = {key: value for key, value in GOOD.items() if key != "work_pools"}

    write(less)
    kept = roost("apply", "staging")
    assert "stay on the server: work_pools/etl" in kept.err
    assert prefect.objects.names() == NAMES
    write(less, prune=True)
    assert roost("apply", "staging").code == 0

    assert prefect.objects.names() == NAMES - {"work_pools/etl"}
    assert json.loads(roost("plan", "staging", "--json").out)["steps"] == []


def test_what_a_hand_changed_is_drift_that_heals(roost, prefect):
    roost("apply", "staging")
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9

    said = roost("drift", "staging", "--json")
    [found] = json.loads(said.out)["differences"]

    assert said.code == 2
    assert (found["field"], found["live"], found["wanted"], found["cause"]) == (
        *("work_pools/etl.concurrency_limit", 9, 2),
        "changed by hand",
    )
    assert "write it into the file of objects" in roost("drift", "staging").out
    healed = roost("drift", "staging", "--heal")
    assert "staging is healed.\n" in healed.out  # no gate ran, so nothing was proved
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 2
    assert roost("drift", "staging").out == "staging: clean.\n"


def test_a_sleeping_server_is_compared_only_if_asked_for(roost, prefect, fly):
    roost("apply", "staging")
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9
    fly.settle("suspended")
    prefect.asked.clear()

    asleep = roost("drift", "staging")

    assert asleep.code == 0
    assert "Prefect's objects were not compared: the server sleeps" in asleep.out
    assert prefect.asked == []
    assert roost("drift", "staging", "--objects").code == 2


@pytest.mark.parametrize(
    ("options", "compares"),
    [
        (["--end-overrides"], False),
        (["--end-overrides", "--objects"], False),
        (["--heal", "--results", "healed"], False),
        (["--end-overrides", "--results", "healed"], False),
        (["--heal", "--objects", "--results", "healed"], True),
    ],
)
def test_a_job_that_heals_compares_no_objects_unless_it_is_asked_to(
    roost, prefect, tmp_path, options, compares
):
    """The job Look has no login, so it did not show what such a job would undo."""
    roost("apply", "staging")
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9
    prefect.asked.clear()

    said = roost(
        "drift", "staging", *(o.replace("healed", str(tmp_path / "healed")) for o in options)
    )

    assert said.code == 0, said.err
    assert bool(prefect.asked) is compares
    assert ("this run leaves them out" in said.out) is not compares
    left = prefect.objects.fields("work_pools", "etl")["concurrency_limit"]
    assert left == (2 if compares else 9)


def test_an_expired_override_ends_although_a_hand_changed_an_object(roost, prefect, fly):
    roost("apply", "staging")
    roost("scale", "staging", *DEMO)
    prefect.objects.things[("work_pools", "etl")]["concurrency_limit"] = 9
    end_override(next(iter(fly.machines.values()))["config"]["metadata"])

    said = roost("drift", "staging", "--end-overrides")

    assert said.code == 0, said.out
    assert "staging is healed, and proved." in said.out


def test_without_the_login_they_are_not_compared(roost, prefect, monkeypatch):
    roost("apply", "staging")
    prefect.asked.clear()
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("drift", "staging", "--json")

    assert any("the server's login is not here" in note for note in json.loads(said.out)["notes"])
    assert prefect.asked == []


def test_a_server_that_does_not_answer_is_a_note_of_drift(roost, prefect):
    roost("apply", "staging")
    prefect.broken[("GET", "/api/variables/*")] = say(502)

    said = roost("drift", "staging")

    assert said.code == 0
    assert "Prefect's objects were not compared: the server failed (status 502)" in said.out


def test_a_rotated_secret_of_a_block_is_planned_and_written(roost, prefect, monkeypatch):
    roost("apply", "staging")
    monkeypatch.setenv("HOOK", "https://hooks.example/T0/hunter3")

    said = roost("apply", "staging")

    assert "set the secrets HOOK" in said.err
    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    assert block["data"]["url"].endswith("hunter3")
    assert json.loads(roost("plan", "staging", "--json").out)["steps"] == []


def test_secrets_set_writes_a_new_value_of_a_block_and_leaves_other_changes(
    roost, write, prefect, monkeypatch
):
    roost("apply", "staging")
    monkeypatch.setenv("HOOK", "https://hooks.example/T0/hunter3")
    write(larger(concurrency_limit=5))
    refused = roost("secrets", "staging", "--set")
    write()

    said = roost("secrets", "staging", "--set")

    assert (refused.code, said.code) == (3, 0)
    assert "The plan changes more than secrets: prefect/objects" in refused.err
    assert "staging: set the new secrets of Prefect's blocks." in said.out
    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    assert block["data"]["url"].endswith("hunter3")


def test_secrets_of_blocks_are_not_denied_where_the_server_has_none(roost, write):
    write(access={"public": False, "auth": "none"}, secrets=[])

    assert roost("secrets", "staging").out.splitlines()[:2] == [
        "It has no secrets of its own.",
        "Secrets of Prefect's blocks: HOOK (not set yet).",
    ]


def test_the_secrets_of_blocks_are_shown_with_their_state(roost, monkeypatch):
    before = roost("secrets", "staging")
    roost("apply", "staging")
    same = roost("secrets", "staging", "--exit-code")
    monkeypatch.setenv("HOOK", "https://hooks.example/T0/hunter3")
    changed = roost("secrets", "staging", "--exit-code")
    listed = json.loads(roost("secrets", "staging", "--json").out)["secrets_of_blocks"]
    monkeypatch.delenv("HOOK")

    assert "Secrets of Prefect's blocks: HOOK (not set yet)." in before.out
    assert (same.code, changed.code) == (0, 2)
    assert "Secrets of Prefect's blocks: HOOK (same)." in same.out
    assert "Secrets of Prefect's blocks: HOOK (changed)." in changed.out
    assert listed == {"HOOK": "changed"}
    assert "HOOK (not checked)" in roost("secrets", "staging").out


def test_drift_shows_no_value_that_somebody_typed_into_the_ui(roost, write, prefect, tmp_path):
    objects = {
        **larger(base_job_template={"variables": {}}, description="x"),
        "blocks": [
            {"name": "ops", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}, "to": "x"}}
        ],
        "automations": [{"name": "a", "trigger": {"type": "event", "within": 60}, "actions": []}],
    }
    write(objects)
    roost("apply", "staging")
    things = prefect.objects.things
    things[("work_pools", "etl")] |= {"base_job_template": {"variables": {"password": "hunter5"}}}
    things[("variables", "region")]["value"] = "hunter6"
    things[("block_documents", f"{WEBHOOK}/ops")]["data"]["to"] = "hunter7"
    things[("automations", "a")] |= {
        "trigger": {"type": "event", "within": 30, "url": "hunter8"},
        "actions": [{"type": "call", "token": "hunter9"}],
    }

    told = roost("drift", "staging")
    found = {d["field"]: d["live"] for d in json.loads(roost("drift", "staging", "--json").out)["differences"]}  # fmt: skip
    roost("drift", "staging", "--heal", "--objects", "--results", str(tmp_path / "healed"))

    assert len(found) == 5
    assert found["automations/a.trigger"] == {"type": "event", "within": 30}
    assert found["automations/a.actions"] == "a list of 1"
    assert found["variables/region.value"].startswith("another value (sha256 ")
    written = "".join(path.read_text() for path in (tmp_path / "healed").iterdir())
    assert '"healed"' in written
    assert "hunter" not in told.out + told.err + repr(found) + written


def test_no_command_shows_the_value_of_a_secret(roost, write, prefect, monkeypatch):
    bad = {"name": "bad", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}}}
    said = [roost("plan", "staging"), roost("apply", "staging", "--json")]
    prefect.objects.things[("block_documents", f"{WEBHOOK}/ops")]["updated"] = "later"
    said += [roost("drift", "staging"), roost("drift", "staging", "--json")]
    write({**GOOD, "blocks": [*GOOD["blocks"], bad]})
    said += [roost("apply", "staging"), roost("status", "staging"), roost("releases", "staging")]
    monkeypatch.delenv("HOOK")
    said += [roost("plan", "staging", "--json"), roost("apply", "staging")]

    assert {one.code for one in said} == {0, 1, 2, 3}
    assert not [one for one in said if "hunter2" in one.out + one.err]

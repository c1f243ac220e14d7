"""drift: where live differs from the file, why, and what healing does and leaves."""

from __future__ import annotations

import json

import pytest
import yaml

from helpers.environments import environment_data
from helpers.overrides import end_override
from roost.environment.model import AUTH_SECRET
from roost.errors import FlyForbiddenError
from roost.operations.orphaned_apps import LEFT, Orphan
from roost.plan.desired import OVERRIDE_KEY

DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
DEMO = ("--min-machines-running", "1", "--until", "4h", "--reason", "demo")


@pytest.fixture
def applied(roost, fly, monkeypatch):
    """The command line, with `staging` applied."""
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    return roost


@pytest.fixture
def others(applied, tmp_path):
    """Beside `staging`: a file with a fault, and one whose app is not there."""
    (tmp_path / "broken.yaml").write_text("app: x\n")
    data = environment_data(app="acme-other")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(data))
    return applied


def config_of(fly):
    [machine] = fly.machines.values()
    return machine["config"]


def differences(said):
    """Return the differences as (field, live, wanted, cause)."""
    found = json.loads(said.out)["differences"]
    return [(d["field"], d["live"], d["wanted"], d["cause"]) for d in found]


def test_what_was_just_applied_is_clean_and_only_looked_at(applied, fly):
    said = applied("drift", "staging")

    assert (said.code, said.out, said.err) == (0, "staging: clean.\n", "")
    assert fly.changes == []


def test_a_field_that_a_hand_changed_is_named_with_its_values(applied, fly):
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", "--json")
    spoken = applied("drift", "staging")

    assert (said.code, spoken.code) == (2, 2)
    assert differences(said) == [("guest.memory_mb", 2048, 512, "changed by hand")]
    assert json.loads(said.out)["differences"][0]["sent"] == 512
    assert "staging: drift, 1 difference." in spoken.out
    assert "To undo a change by hand: ./run roost drift staging --heal." in spoken.out
    assert fly.changes == []


def test_a_file_that_moved_on_is_told_apart_from_a_hand(applied, fly, rewrite):
    rewrite(DEBUG)
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", "--json")

    assert said.code == 2
    assert differences(said) == [
        ("guest.memory_mb", 2048, 512, "changed by hand"),
        ("env.PREFECT_LOGGING_LEVEL", None, "DEBUG", "not applied yet"),
    ]


def test_a_field_that_both_the_file_and_a_hand_changed_says_what_was_sent(applied, fly, rewrite):
    rewrite(machine={"memory_mb": 1024})
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging")

    assert "changed by hand; 512 was sent" in said.out


def test_a_field_that_both_changed_is_not_healed_to_what_nobody_applied(applied, fly, rewrite):
    rewrite(machine={"memory_mb": 1024})
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", "--heal")

    assert said.code == 2
    assert config_of(fly)["guest"]["memory_mb"] == 2048
    assert "An apply applies that and undoes the rest: ./run roost apply staging" in said.out
    assert "To undo a change by hand" not in said.out


def test_where_the_file_moved_on_too_the_advice_is_one_apply_and_no_healing(applied, fly, rewrite):
    rewrite(DEBUG)
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging")

    assert "An apply applies that and undoes the rest: ./run roost apply staging" in said.out
    assert "--heal" not in said.out


def test_healing_puts_back_what_a_hand_changed_and_proves_it(applied, fly, prefect):
    config_of(fly)["guest"]["memory_mb"] = 2048
    prefect.asked.clear()

    said = applied("drift", "staging", "--heal")

    assert said.code == 0
    assert said.out.endswith("staging is healed, and proved.\n")
    assert config_of(fly)["guest"]["memory_mb"] == 512
    assert prefect.asked
    assert applied("drift", "staging").code == 0


def test_healing_what_is_clean_changes_nothing(applied, fly):
    said = applied("drift", "staging", "--heal")

    assert said.code == 0
    assert said.out.endswith("There is nothing to heal.\n")
    assert fly.changes == []


def test_healing_applies_nothing_that_was_never_applied(applied, fly, rewrite):
    rewrite(DEBUG)

    said = applied("drift", "staging", "--heal")

    assert said.code == 2
    assert "The file changed. Apply it: ./run roost apply staging" in said.out
    assert "staging is not healed: a change of the file was never applied" in said.out
    assert fly.changes == []


def test_healing_that_fails_its_gate_ends_as_an_apply_does(applied, fly, prefect):
    config_of(fly)["guest"]["memory_mb"] = 2048
    prefect.version = "3.7.0"

    said = applied("drift", "staging", "--heal")

    assert said.code in {4, 5}
    assert "gate-failed" in said.err


def test_an_override_explains_its_difference(applied):
    applied("scale", "staging", *DEMO)

    said = applied("drift", "staging")

    assert said.code == 0
    assert said.out.startswith("staging: clean.\nOverride until ")
    assert "by ada (demo): min_machines_running 1 instead of 0." in said.out


@pytest.mark.parametrize("option", ["--heal", "--end-overrides"])
def test_an_override_whose_time_is_over_is_drift_and_is_healed(applied, fly, option):
    applied("scale", "staging", *DEMO)
    end_override(config_of(fly)["metadata"])

    said = applied("drift", "staging", "--json")
    assert said.code == 2
    assert {cause for *_, cause in differences(said)} == {"override ended"}
    assert applied("drift", "staging", option).code == 0

    assert OVERRIDE_KEY not in config_of(fly)["metadata"]
    assert applied("drift", "staging").out == "staging: clean.\n"


def test_ending_overrides_puts_nothing_else_back(applied, fly):
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", "--end-overrides")

    assert said.code == 2
    assert "staging is unchanged: not all differences come from an expired override." in said.out
    assert fly.changes == []


def test_beside_a_hand_s_change_an_ended_override_waits_for_a_person(applied, fly):
    applied("scale", "staging", *DEMO)
    end_override(config_of(fly)["metadata"])
    config_of(fly)["guest"]["memory_mb"] = 2048
    fly.asked.clear()

    said = applied("drift", "staging", "--end-overrides")

    assert said.code == 2
    assert "override ended" in said.out
    assert "changed by hand" in said.out
    assert fly.changes == []


def test_an_override_that_lasts_is_not_ended(applied, fly):
    applied("scale", "staging", *DEMO)
    fly.asked.clear()

    said = applied("drift", "staging", "--end-overrides")

    assert said.code == 0
    assert said.out.endswith("There is nothing to heal.\n")
    assert fly.changes == []


def test_overrides_of_all_are_ended_where_nothing_else_differs(others, fly):
    others("scale", "staging", *DEMO)
    end_override(config_of(fly)["metadata"])

    said = others("drift", "--all", "--end-overrides")

    assert said.code == 3
    assert said.out.endswith("3 environments: 1 healed, 1 drift, 1 error.\n")
    assert OVERRIDE_KEY not in config_of(fly)["metadata"]


def test_of_healing_and_ending_overrides_one_is_asked_for(applied, fly):
    said = applied("drift", "staging", "--heal", "--end-overrides")

    assert (said.code, said.out) == (3, "")
    assert "--heal ends overrides too; leave out --end-overrides." in said.err
    assert fly.asked == []


def test_what_the_file_leaves_to_somebody_else_is_shown_and_not_counted(applied, fly, rewrite):
    rules = [{"field": "guest.memory_mb", "reason": "the autoscaler sets it"}]
    rewrite(drift={"ignore": rules})
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", "--heal")
    document = json.loads(applied("drift", "staging", "--json").out)

    assert said.code == 0
    assert "staging: clean.\n" in said.out
    assert (
        "Ignored: machine/app-1 guest.memory_mb is 2048 instead of 512 (the autoscaler sets it)."
    ) in said.out
    assert document["ignored"][0]["reason"] == "the autoscaler sets it"
    assert config_of(fly)["guest"]["memory_mb"] == 2048


def test_a_machine_that_was_removed_by_hand_is_told_and_left_to_a_person(applied, fly):
    [key] = fly.machines
    volume = fly.machines.pop(key)["config"]["mounts"][0]["volume"]
    fly.volumes[volume]["attached_machine_id"] = None

    said = applied("drift", "staging", "--json")

    assert said.code == 2
    last = json.loads(said.out)["differences"][-1]
    assert (last["key"], last["cause"]) == ("machine/app-1", "its machine is not there")
    healed = applied("drift", "staging", "--heal")
    assert healed.code == 2
    assert fly.machines == {}
    assert applied("apply", "staging").code == 0
    assert [m["config"]["mounts"][0]["volume"] for m in fly.machines.values()] == [volume]


def test_an_environment_that_was_never_applied_is_not_made_by_healing(roost, fly):
    said = roost("drift", "staging", "--heal", "--json")

    assert said.code == 2
    assert {cause for *_, cause in differences(said)} == {"not applied yet"}
    assert fly.changes == []


@pytest.mark.parametrize("option", ["", "--heal"])
def test_what_was_found_is_written_for_who_goes_on_from_there(applied, fly, tmp_path, option):
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "staging", *filter(None, [option]), "--results", tmp_path / "found")

    document = json.loads((tmp_path / "found" / "staging.json").read_text())
    assert said.code == (0 if option else 2)
    assert document["state"] == ("healed" if option else "drift")
    assert document["differences"][0]["live"] == 2048


def test_what_went_wrong_is_written_too(applied, fly, prefect, tmp_path):
    config_of(fly)["guest"]["memory_mb"] = 2048
    prefect.version = "3.7.0"

    said = applied("drift", "staging", "--heal", "--results", tmp_path / "found")

    document = json.loads((tmp_path / "found" / "staging.json").read_text())
    assert said.code in {4, 5}
    assert (document["state"], len(document["differences"])) == ("error", 1)
    assert document["error"]["word"].startswith("gate-failed")


def test_what_was_found_of_all_is_written(others, tmp_path):
    others("drift", "--all", "--results", tmp_path / "found")

    assert {path.stem for path in (tmp_path / "found").iterdir()} == {"broken", "other", "staging"}


# --all


def test_all_are_told_and_the_worst_counts(others, fly):
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = others("drift", "--all", "--json")

    found = {e["environment"]: e for e in json.loads(said.out)["environments"]}
    assert said.code == 3
    assert {name: e["state"] for name, e in found.items()} == {
        "broken": "error",
        "other": "drift",
        "staging": "drift",
    }
    assert found["broken"]["error"]["faults"]
    spoken = others("drift", "--all").out
    assert "broken: error [invalid-files]: " in spoken
    assert "/broken.yaml:1:1: " in spoken
    assert spoken.endswith("3 environments: 2 drift, 1 error.\n")


def test_one_that_cannot_be_looked_at_hides_no_other(applied, fly, tmp_path):
    data = environment_data(app="acme-other", prefect={"version": "3.0.0"})
    (tmp_path / "unlocked.yaml").write_text(yaml.safe_dump(data))
    config_of(fly)["guest"]["memory_mb"] = 2048

    said = applied("drift", "--all", "--heal")

    assert said.code == 3
    assert "unlocked: error [invalid-files]: " in said.out
    assert "staging: healed, 1 difference." in said.out
    assert config_of(fly)["guest"]["memory_mb"] == 512


def test_a_job_that_heals_does_not_fail_because_of_a_change_that_waits_for_its_apply(
    applied, rewrite, tmp_path
):
    """The job heals a flow server, or the file changed since the job was planned."""
    rewrite(DEBUG)
    results = tmp_path / "results"

    said = applied("drift", "--heal", "--results", str(results), "staging")

    assert said.code == 0
    assert json.loads((results / "staging.json").read_text())["state"] == "drift"


def test_a_job_that_could_not_heal_what_a_hand_changed_fails(applied, fly, rewrite, tmp_path):
    config_of(fly)["guest"]["memory_mb"] = 2048
    rewrite(DEBUG)

    assert applied("drift", "--heal", "--results", str(tmp_path / "r"), "staging").code == 2


def test_a_flow_server_that_left_the_file_is_reported_with_its_environment(applied, monkeypatch):
    old = Orphan("acme-prefect-old", "acme", "staging.old", LEFT, file_is_gone=False)

    async def left(*_):
        return (old,)

    monkeypatch.setattr("roost.commands.drift.left_orphans", left)
    said, spoken = applied("drift", "staging", "--json"), applied("drift", "staging")

    assert (said.code, spoken.code) == (2, 2)
    assert json.loads(said.out)["orphans"] == [vars(old)]
    assert "acme-prefect-old: orphaned. It was made for staging.old, and its file no" in spoken.out
    assert applied("drift", "staging", "--heal").code == 0


def test_a_token_that_cannot_list_apps_adds_a_note(applied, monkeypatch):
    async def forbidden(*_):
        raise FlyForbiddenError("Fly answered 403.", advice="")

    monkeypatch.setattr("roost.commands.drift.left_orphans", forbidden)
    said = applied("drift", "staging")

    assert said.code == 0
    assert "flow servers that left the file exist is unknown: Fly answered 403." in said.err


@pytest.mark.parametrize(
    ("app", "why"),
    [(None, "its file is gone"), ("acme-new", "its file names another app now")],
)
def test_an_app_that_no_file_asks_for_is_orphaned_and_left(applied, fly, tmp_path, app, why):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(environment_data(app="acme-other")))
    (tmp_path / "staging.yaml").unlink()
    if app:
        (tmp_path / "staging.yaml").write_text(yaml.safe_dump(environment_data(app=app)))

    said = applied("drift", "--all", "--heal")

    assert said.code == 2
    assert f"acme-prefect: orphaned. It was made for staging, and {why}. Nothing" in said.out
    assert fly.changes == []


def test_an_environment_whose_file_cannot_be_read_has_no_orphan(applied, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(environment_data(app="acme-other")))
    (tmp_path / "staging.yaml").write_text("app: x\n")

    document = json.loads(applied("drift", "--all", "--json").out)

    assert document["orphans"] == []


def test_a_token_that_cannot_list_an_organization_is_noted_and_no_failure(applied, fly):
    fly.lists_apps = False

    said = applied("drift", "--all")

    assert said.code == 0
    assert "Orphaned apps were not searched in personal: " in said.out
    assert "needs a token of the organization" in said.out


def test_without_a_single_file_there_is_nothing_to_look_at(applied, fly, tmp_path):
    (tmp_path / "staging.yaml").unlink()

    said = applied("drift", "--all")

    assert said.code == 3
    assert "There is no environment file in " in said.err
    assert fly.asked == []


@pytest.mark.parametrize("arguments", [(), ("staging", "--all")])
def test_one_or_all_must_be_asked_for(roost, arguments):
    said = roost("drift", *arguments)

    assert (said.code, said.out) == (3, "")
    assert "Name one environment, or give --all." in said.err


def test_secrets_whose_values_are_not_here_are_told_as_not_checked(roost, monkeypatch):
    roost("apply", "staging")
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("drift", "staging")
    document = json.loads(roost("drift", "staging", "--json").out)

    assert said.code == 0
    assert f"Not checked, as their values are not available here: {AUTH_SECRET} (from " in said.out
    assert document["unchecked_secrets"] == [AUTH_SECRET]

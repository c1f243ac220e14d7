"""scale: an override with a reason and an end, through plan, apply and gate; or an edit of the file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from helpers.environments import POSTGRES
from roost.plan.desired import OVERRIDE_KEY
from roost.plan.releases import Verdict, records_in

DEBUG = {"prefect": {"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}}}
AWAKE = ("scale", "staging", "--min-machines-running", "1")
DEMO = (*AWAKE, "--until", "4h", "--reason", "demo")


@pytest.fixture
def applied(roost, fly, monkeypatch):
    """The command line, with `staging` applied; Ada is the one who calls it."""
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    return roost


def machine(fly):
    [found] = fly.machines.values()
    return found


def override_of(fly):
    """Return the override that the machine carries."""
    text = machine(fly)["config"]["metadata"].get(OVERRIDE_KEY)
    return text and json.loads(text)


def expire(fly):
    """Let the override's time be over."""
    override = override_of(fly)
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    times = {"since": since, "until": since + timedelta(hours=4)}
    spelt = {name: t.isoformat().replace("+00:00", "Z") for name, t in times.items()}
    machine(fly)["config"]["metadata"][OVERRIDE_KEY] = json.dumps({**override, **spelt})


def test_an_override_is_applied_proved_and_kept_with_who_why_and_until(applied, fly, prefect):
    prefect.asked.clear()
    said = applied(*DEMO)

    override = override_of(fly)
    lasts = datetime.fromisoformat(override["until"]) - datetime.fromisoformat(override["since"])
    assert said.code == 0
    assert said.out.startswith("Override until ")
    assert "by ada (demo): min_machines_running 1 instead of 0." in said.out
    assert said.out.rstrip().endswith("To end it sooner: ./run roost scale staging --clear")
    assert (override["fields"], override["who"]) == ({"min_machines_running": 1}, "ada")
    assert (override["reason"], lasts) == ("demo", timedelta(hours=4))
    assert machine(fly)["config"]["services"][0]["min_machines_running"] == 1
    assert machine(fly)["config"]["env"]["ROOST_IDLE_ACTION"] == "off"
    assert prefect.asked


def test_plan_status_and_apply_show_an_override_and_leave_it(applied, fly):
    applied(*DEMO)
    fly.asked.clear()

    plan = json.loads(applied("plan", "staging", "--json").out)
    assert plan["steps"] == []
    assert plan["override"]["reason"] == "demo"
    for said in (applied("plan", "staging").out, applied("apply", "staging").err):
        assert "No changes: live matches the file and the override." in said
        assert "Override until " in said
        assert "by ada (demo): min_machines_running 1 instead of 0." in said
    assert "by ada (demo): min_machines_running 1 instead of 0." in applied("status", "staging").out
    status = json.loads(applied("status", "staging", "--json").out)
    assert status["override"] == plan["override"]
    assert fly.changes == []


def test_an_apply_of_a_change_keeps_an_override_while_it_lasts(applied, fly, rewrite):
    applied(*DEMO)
    rewrite(DEBUG)

    assert applied("apply", "staging").code == 0

    assert override_of(fly)["reason"] == "demo"
    assert machine(fly)["config"]["services"][0]["min_machines_running"] == 1
    assert machine(fly)["config"]["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"


def test_an_override_whose_time_is_over_is_ended_by_the_next_apply_which_says_so(applied, fly):
    applied(*DEMO)
    expire(fly)

    assert "The override by ada (demo) ended at " in applied("status", "staging").out
    assert "The override by ada (demo) ended at " in applied("plan", "staging").out
    said = applied("apply", "staging")

    assert "The override by ada (demo) ended at " in said.err
    assert override_of(fly) is None
    assert "min_machines_running" not in machine(fly)["config"]["services"][0]
    assert "verride" not in applied("plan", "staging").out


def test_clear_ends_an_override_now(applied, fly):
    applied(*DEMO)

    said = applied("scale", "staging", "--clear")

    assert said.code == 0
    assert said.out.startswith("The override by ada (demo) ends: min_machines_running 1 until ")
    assert override_of(fly) is None
    assert "min_machines_running" not in machine(fly)["config"]["services"][0]


def test_clear_without_an_override_says_so_and_changes_nothing(applied, fly, rewrite):
    rewrite(DEBUG)

    said = applied("scale", "staging", "--clear")

    assert (said.code, said.out) == (0, "There is no override on staging.\n")
    assert fly.changes == []


def test_clear_again_proves_what_the_first_one_that_was_cut_short_did_not(applied, fly, prefect):
    metadata = machine(fly)["config"]["metadata"]
    [release] = records_in(metadata)
    metadata[release.key] = release.with_verdict(Verdict.PENDING).encoded()
    prefect.asked.clear()

    said = applied("scale", "staging", "--clear")

    [release] = records_in(machine(fly)["config"]["metadata"])
    assert said.out == "There is no override on staging.\n"
    assert prefect.asked
    assert release.verdict is Verdict.GOOD


def test_a_longer_override_boots_nothing(applied, fly):
    applied(*DEMO)
    fly.asked.clear()

    said = applied(*AWAKE, "--until", "8h", "--reason", "longer demo")

    assert said.code == 0
    assert override_of(fly)["reason"] == "longer demo"
    kinds = [change.split("/")[-1] for change in fly.changes]
    assert kinds == ["lease", "metadata", "lease"]


def test_an_override_that_fails_its_gate_is_rolled_back_and_gone(applied, fly, prefect):
    def die():
        [found] = fly.machines.values()
        if found["config"]["guest"]["memory_mb"] == 1024:
            death = {"exit_event": {"oom_killed": True, "exit_code": 137}}
            found["events"] = [{"id": "e1", "type": "exit", "timestamp": 10**15, "request": death}]
            return "hang"
        return None

    prefect.broken = {("GET", "/api/health"): die}

    said = applied("scale", "staging", "--memory-mb", "1024", "--until", "1h", "--reason", "try")

    assert said.code == 4, said.err
    assert override_of(fly) is None
    assert machine(fly)["config"]["guest"]["memory_mb"] == 512
    assert json.loads(applied("plan", "staging", "--json").out)["steps"] == []
    again = applied("scale", "staging", "--memory-mb", "1024", "--until", "1h", "--reason", "again")
    assert again.code == 3
    assert "the same configuration failed as release 2" in again.err


def test_what_else_is_pending_is_not_applied_by_scaling(applied, fly, rewrite):
    rewrite(DEBUG)

    said = applied(*DEMO)

    assert said.code == 3
    assert "error [cannot-apply]: staging: The plan changes more than the scaling: " in said.err
    assert "machine/app-1 (env.PREFECT_LOGGING_LEVEL). " in said.err
    assert "apply it (`./run roost apply staging`), then scale. Nothing was changed." in said.err
    assert fly.changes == []


def test_after_a_rollback_by_hand_scaling_asks_for_the_revert_and_goes_nowhere(
    applied, fly, rewrite
):
    rewrite(DEBUG)
    assert applied("apply", "staging").code == 0
    assert applied("rollback", "staging").code == 0
    fly.asked.clear()

    said = applied(*DEMO)

    assert said.code == 3
    assert "Release 1 was put back by hand, as release 3" in said.err
    assert "Merge a revert of the file first, then scale" in said.err
    assert "or apply the file (`./run roost apply staging`). Nothing was changed." in said.err
    assert fly.changes == []
    rewrite()  # the revert is merged
    assert applied(*DEMO).code == 0


def test_an_environment_that_was_never_applied_is_not_made_by_scaling(roost, fly):
    said = roost(*DEMO)

    assert said.code == 3
    assert "app/acme-prefect; " in said.err
    assert fly.changes == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "There is nothing to change. Give one of --size, --memory-mb, --count"),
        ("--memory-mb 1024", "--until is missing: an override ends by itself. Add --until 4h, or"),
        ("--memory-mb 1024 --until 4h", "--reason is missing."),
        ("--memory-mb 1024 --until 4h --reason ", "--reason is missing."),
        (f"--memory-mb 1024 --until 4h --reason {'x' * 201}", "longer than 200 characters"),
        ("--memory-mb 1024 --until soon --reason x", "neither a duration nor a time with its zone"),
        ("--memory-mb 1024 --until 2026-01-01 --reason x", "neither a duration nor a time with"),
        ("--memory-mb 1024 --until 2026-01-01T00:00:00Z --reason x", "is past; it is "),
        ("--memory-mb 1024 --until 0s --reason x", "--until 0s is past"),
        (
            "--memory-mb 1024 --until 721h --reason x",
            "more than 30 days away. A longer change belongs",
        ),
        ("--memory-mb 1024 --until 9999-12-31T23:59:59+00:00 --reason x", "30 days away"),
        ("--memory-mb 600 --until 4h --reason x", "--memory-mb 600: memory_mb must be a multiple"),
        ("--size tiny --until 4h --reason x", "--size tiny: size must be one of shared-cpu-1x,"),
        (
            "--memory-mb 4096 --size shared-cpu-2x --until 4h --reason x",
            "--memory-mb 4096: Fly suspends machines of up to 2048 MB; set autostop to stop",
        ),
        ("--count 2 --until 4h --reason x", "--count 2: SQLite serves one machine"),
        (
            "--min-machines-running 2 --until 4h --reason x",
            "--min-machines-running 2: min_machines_running 2 is more than count 1",
        ),
        ("--clear --until 4h", "--clear ends an override and takes no other option."),
        ("--clear --permanent", "--clear ends an override and takes no other option."),
        ("--memory-mb 1024 --permanent --until 4h", "--permanent and --until exclude each other."),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_by_its_option_and_calls_nothing(
    applied, fly, options, words
):
    said = (
        applied("scale", "staging", *options.split(" ")) if options else applied("scale", "staging")
    )

    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("roost: error [usage]: ")
    assert words in said.err
    assert fly.asked == []


def test_no_override_can_be_kept_where_there_is_no_machine(roost, fly, rewrite):
    rewrite(POSTGRES)

    said = roost("scale", "staging", "--count", "0", "--until", "4h", "--reason", "x")

    assert said.code == 3
    assert "--count 0 would leave no machine that stores the override" in said.err
    assert fly.asked == []


def test_a_field_that_is_left_to_somebody_else_is_not_scaled(roost, fly, rewrite):
    rules = [{"field": "guest.memory_mb", "reason": "the autoscaler sets it"}]
    rewrite(drift={"ignore": rules})

    said = roost("scale", "staging", "--memory-mb", "1024", "--until", "4h", "--reason", "x")

    assert said.code == 3
    assert (
        "--memory-mb 1024: drift.ignore leaves guest.memory_mb to somebody else "
        "(the autoscaler sets it); remove that rule first."
    ) in said.err
    assert fly.asked == []


def test_going_back_by_hand_goes_back_from_an_override_too(applied, fly):
    applied(*DEMO)

    assert applied("rollback", "staging").code == 0

    assert override_of(fly) is None
    assert json.loads(applied("plan", "staging", "--json").out)["steps"] == []


def test_going_back_from_a_longer_override_to_it_brings_its_later_end(applied, fly, rewrite):
    applied(*DEMO)
    applied(*AWAKE, "--until", "8h", "--reason", "longer demo")
    rewrite(DEBUG)
    assert applied("apply", "staging").code == 0

    assert applied("rollback", "staging").code == 0

    assert override_of(fly)["reason"] == "longer demo"
    assert "PREFECT_LOGGING_LEVEL" not in machine(fly)["config"]["env"]


# --permanent


def test_for_good_the_file_is_edited_and_nothing_is_called(roost, fly, tmp_path):
    path = tmp_path / "staging.yaml"
    path.write_text(f"# ours\n{path.read_text()}\nmachine: {{memory_mb: 512}} # MB\n")
    path.chmod(0o640)
    before = path.read_text()

    said = roost("scale", "staging", "--memory-mb", "1024", "--permanent", "--reason", "big flows")

    assert said.code == 0
    assert path.read_text() == before.replace("512", "1024")
    assert path.stat().st_mode & 0o777 == 0o640
    assert "machine.memory_mb: 512 -> 1024" in said.out
    assert "such as: big flows: memory_mb 1024" in said.out
    assert "then: ./run roost apply staging" in said.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["staging.yaml"]
    assert fly.asked == []


def test_for_good_a_value_from_the_defaults_is_written_into_the_file_itself(roost, tmp_path):
    (tmp_path / "_defaults.yaml").write_text("machine: {memory_mb: 512, size: shared-cpu-2x}\n")

    said = roost("scale", "staging", "--memory-mb", "1024", "--permanent", "--json")

    [change] = json.loads(said.out)["changes"]
    assert change == {"field": "machine.memory_mb", "old": 512, "new": 1024}
    assert yaml.safe_load((tmp_path / "staging.yaml").read_text())["machine"] == {"memory_mb": 1024}
    shown = json.loads(roost("show", "staging", "--json").out)["machine"]
    assert shown == {"memory_mb": 1024, "size": "shared-cpu-2x"}


def test_for_good_what_is_so_already_is_not_written(roost, tmp_path):
    before = (tmp_path / "staging.yaml").read_bytes()

    said = roost("scale", "staging", "--memory-mb", "512", "--permanent")

    assert said.code == 0
    assert "machine.memory_mb: 512, as before" in said.out
    assert (tmp_path / "staging.yaml").read_bytes() == before


def test_for_good_what_only_a_person_can_edit_is_refused_and_left(roost, tmp_path):
    path = tmp_path / "staging.yaml"
    before = f"x-small: &small {{memory_mb: 512}}\n{path.read_text()}machine: *small\n"
    path.write_text(before)

    said = roost("scale", "staging", "--memory-mb", "1024", "--permanent")

    assert said.code == 3
    assert f"error [cannot-apply]: {path}:1: machine is shared through an anchor" in said.err
    assert "Then write machine.memory_mb: 1024 by hand." in said.err
    assert path.read_text() == before


def test_for_good_a_value_that_breaks_a_rule_is_refused_before_it_is_written(roost, tmp_path):
    before = (tmp_path / "staging.yaml").read_bytes()

    said = roost("scale", "staging", "--count", "3", "--permanent")

    assert said.code == 3
    assert "--count 3: SQLite serves one machine" in said.err
    assert (tmp_path / "staging.yaml").read_bytes() == before

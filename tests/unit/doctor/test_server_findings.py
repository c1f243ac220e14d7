"""What `doctor ENV` concludes about a server; tests/flow/test_roost_doctor.py makes the faults real."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest

from helpers.environments import POSTGRES
from helpers.server_samples import NOW, event, facts_of
from roost.doctor.check import State
from roost.doctor.hidden import hider
from roost.doctor.server import findings
from roost.doctor.server_facts import Answer, Log
from roost.doctor.sleep_findings import Who, who_sent
from roost.doctor.start_causes import CAUSES, find_cause, refused_settings
from roost.environment.load import load_environment
from roost.fly.models import Check, Machine, Volume
from roost.plan.exit_reason import LAST_ERROR_KEY
from roost.plan.trial import SENTENCES
from roost.plan.wakes import Wake, read_wakes
from roost.secret_text import SecretText

EXITED = {"exit_code": 1, "signal": -1, "requested_stop": False, "oom_killed": False}
OOM = {**EXITED, "exit_code": 137, "oom_killed": True}
STARTED = event("start", "started", 60)
LAUNCHED = event("launch", "created", 90)


def died(folder, words="", **fields):
    """Return the facts of a server that exited, with what it said."""
    left = {LAST_ERROR_KEY: json.dumps({"version": "v1", "error": words})} if words else {}
    events = [event("exit", "stopped", 30, **EXITED), STARTED, LAUNCHED]
    return facts_of(folder, events=events, state="stopped", metadata=left, **fields)


def faults(facts):
    return [check for check in findings(facts) if check.state is State.WRONG]


def only(facts):
    [check] = faults(facts)
    return check


def apply_change(folder, check):
    """Apply a printed diff, as a person does, and load the file."""
    done = subprocess.run(
        ["patch", "-p1"],
        cwd=folder.parent,
        input=f"{check.change}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (check.change, done.stdout)
    assert (folder / "demo.yaml").read_text().startswith("# ours\n")
    return load_environment("demo", folder).environment


# It does not start


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ('InvalidPasswordError: password authentication failed for user "[hidden]"', SENTENCES[21]),
        ('InvalidCatalogNameError: database "x" does not exist', SENTENCES[23]),
        ("gaierror: [Errno -2] Name or service not known", SENTENCES[24]),
        ("ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)", SENTENCES[25]),
        ("SSLCertVerificationError: certificate verify failed: self-signed certificate", SENTENCES[27]),
        ("ConnectionError: PostgreSQL server at h rejected SSL upgrade", SENTENCES[29]),
        ("DATABASE_URL: " + SENTENCES[31], SENTENCES[31]),
        ("the secret DATABASE_URL has no value on this app; set it", "has no usable value"),
        ("another session of the database has held the migration lock for more than 300 s", "migration"),
        ("a newer Prefect has migrated the database (to 9ab), and this one cannot", "newer Prefect"),
        ("it cannot listen on its port; the lines above have the details", "does not listen"),
        ("OSError: [Errno 28] No space left on device", "the volume is full"),
        ("the Redis refuses the user or the password; correct the secret", "Redis"),
    ],
)  # fmt: skip
def test_the_cause_is_named_by_what_the_server_said(words, cause):
    found = find_cause([words])

    assert found is not None
    assert cause in found.cause.what


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            (
                "Running migrations with alembic",
                "InvalidPasswordError: password authentication failed",
                "[PC01] instance refused connection. is your app listening on 0.0.0.0:4200?",
            ),
            SENTENCES[21],
        ),
        (
            (
                "alembic.util.exc.CommandError: Can't locate revision identified by '9ab'",
                "[PC01] instance refused connection",
                "[PC01] instance refused connection",
            ),
            "a newer Prefect",
        ),
        (("alembic.util.exc.CommandError: Multiple heads", "exited"), "a migration"),
        (("asyncpg: connect: TimeoutError", "TimeoutError"), SENTENCES[26]),
        (("starting", "[PC01] instance refused connection"), "does not listen"),
        (
            ("roost: the Redis does not answer yet (ConnectionError)", "OSError: No space left on device"),
            "the volume is full",
        ),
    ],
)  # fmt: skip
def test_the_cause_is_found_among_the_lines_that_follow_it(lines, cause):
    found = find_cause(reversed(lines))

    assert found is not None
    assert cause in found.cause.what


@pytest.mark.parametrize(
    "line",
    [
        "Running migrations with alembic",
        "INFO [alembic.runtime.migration] Running upgrade a -> b, Add state that failed",
        "Configuring the Redis broker",
        "roost: the Redis removes any key when its memory is full (allkeys-lru)",
        "TimeoutError",
        "httpx.ReadTimeout: webhook: TimeoutError",
        "GET https://hooks.example: Connection refused",
    ],
)
def test_a_line_without_an_error_of_the_start_is_no_cause(line):
    assert find_cause([line]) is None


def test_every_fault_that_a_trial_knows_is_recognized_by_its_sentence():
    vague = {20, 40, 41}
    unknown = [
        code for code, text in SENTENCES.items() if code not in vague and not find_cause([text])
    ]

    assert not unknown
    assert len({cause.what for cause in CAUSES}) == len(CAUSES)


def test_a_wrong_password_leads_to_the_secret_and_to_the_check_of_the_database(tmp_path):
    check = only(died(tmp_path, "InvalidPasswordError: password authentication failed", **POSTGRES))

    assert check.what == f"the server does not start: {SENTENCES[21]}"
    assert 'it said: "InvalidPasswordError: password authentication failed"' in check.evidence
    assert any("exited with code 1" in line for line in check.evidence)
    assert "correct the value of" in check.mend
    assert [command.words for command in check.commands] == [
        ("doctor", "demo", "--database"),
        ("apply", "demo"),
    ]


def test_a_setting_that_prefect_refuses_is_removed_by_the_diff(tmp_path):
    setting = "PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL"
    settings = {"PREFECT_LOGGING_LEVEL": "INFO", setting: "never"}
    prefect = {"version": "3.8.8", "settings": settings}
    words = "a Prefect setting is wrong (related_resource_cache_ttl: Input should be a valid timedelta); fix"

    check = only(died(tmp_path, words, prefect=prefect))

    assert setting in check.mend
    assert apply_change(tmp_path, check).prefect.settings == {"PREFECT_LOGGING_LEVEL": "INFO"}


def test_refused_settings_are_found_by_their_path_or_its_last_part():
    names = ("PREFECT_SERVER_EVENTS_RETENTION_PERIOD", "PREFECT_LOGGING_LEVEL")

    found = refused_settings(
        "a Prefect setting is wrong (server.events.retention_period: x; other: y); fix", names
    )

    assert found == names[:1]


def test_a_schema_of_a_newer_prefect_is_corrected_by_its_version(tmp_path):
    facts = died(
        tmp_path, "a newer Prefect has migrated the database", prefect={"version": "3.8.8"}
    )

    check = only(replace(facts, locks=("3.8.8", "3.9.1", "3.9.0")))

    assert apply_change(tmp_path, check).prefect.version == "3.9.1"


def test_an_image_that_the_registry_has_not_is_named(tmp_path):
    facts = facts_of(tmp_path, events=[LAUNCHED], state="failed")

    check = only(replace(facts, image=False))

    assert check.what.endswith("the image cannot be pulled")
    assert check.commands[0].words == ("image", "demo", "--push")


def test_a_cause_in_the_log_counts_if_the_machine_left_none(tmp_path):
    facts = replace(died(tmp_path), log=Log(("fine", "x: Address already in use", "later")))

    assert only(facts).what.endswith("it does not listen on the port that Fly asks")


def test_an_exit_without_words_names_the_log_and_why_it_was_not_read(tmp_path):
    facts = replace(died(tmp_path), log=Log((), "GET /logs: Fly refuses the token."))

    check = only(facts)

    assert check.what == "the server does not start"
    assert "its log was not read: GET /logs: Fly refuses the token." in check.evidence


def test_a_server_that_ends_again_and_again_is_a_loop_also_while_it_serves(tmp_path):
    ends = [
        each
        for ago in (10, 20, 30)
        for each in (
            event("start", "started", ago - 5),
            event("exit", "stopped", ago, **EXITED),
        )
    ]
    facts = facts_of(tmp_path, events=[*ends, STARTED, LAUNCHED])

    check = only(replace(facts, answer=Answer("200")))

    assert "has ended by itself 3 times" in check.what


def test_a_server_that_came_back_after_an_exit_and_sleeps_is_no_fault(tmp_path):
    events = [
        event("suspend", "suspended", 10),
        event("start", "started", 20),
        event("exit", "stopped", 30, **EXITED),
        STARTED,
        LAUNCHED,
    ]

    assert faults(facts_of(tmp_path, events=events, state="suspended")) == []


def test_an_exit_before_the_last_change_says_nothing(tmp_path):
    events = [
        event("start", "started", 10),
        event("update", "started", 20),
        event("exit", "stopped", 30, **OOM),
        LAUNCHED,
    ]

    assert faults(replace(facts_of(tmp_path, events=events), answer=Answer("200"))) == []


def test_a_server_that_sleeps_is_not_asked_and_is_no_fault(tmp_path):
    facts = facts_of(tmp_path, events=[LAUNCHED], state="suspended")

    checks = list(findings(replace(facts, answer=Answer(why_not="it sleeps"))))

    assert [check.state for check in checks] == [State.UNKNOWN]


# Memory and disk


def test_full_memory_names_the_size_with_its_cost_and_the_diff_sets_it(tmp_path):
    events = [event("exit", "stopped", 30, **OOM), STARTED, LAUNCHED]
    facts = facts_of(tmp_path, events=events, state="stopped", machine={"memory_mb": 512})

    check = only(facts)

    assert "killed once" in check.what
    assert "give it 1024 MB (shared-cpu-1x): $" in check.mend
    assert apply_change(tmp_path, check).machine.memory_mb == 1024


def test_a_size_with_the_most_memory_is_replaced_by_the_next_one_that_fly_stops(tmp_path):
    events = [event("exit", "stopped", 30, **OOM), STARTED, LAUNCHED]
    facts = facts_of(tmp_path, events=events, machine={"memory_mb": 2048})

    environment = apply_change(tmp_path, only(replace(facts, answer=Answer("200"))))

    assert (environment.machine.size, environment.machine.memory_mb) == ("shared-cpu-2x", 4096)
    assert environment.scaling.autostop == "stop"


def test_a_full_volume_is_reported_once_with_the_size_to_set(tmp_path):
    volume = {
        "id": "vol_1",
        "size_gb": 1,
        "block_size": 4096,
        "blocks": 262144,
        "blocks_avail": 100,
    }
    facts = replace(
        facts_of(tmp_path, events=[LAUNCHED]),
        volumes=(Volume.model_validate(volume),),
        answer=Answer("507"),
    )
    mounted = {**(facts.machines[0].config or {}), "mounts": [{"volume": "vol_1"}]}
    facts = replace(facts, machines=(facts.machines[0].model_copy(update={"config": mounted}),))

    first, second = faults(facts)

    assert first.what.endswith("the volume is full")
    assert first.change == ""
    assert "99 % full" in second.what
    assert apply_change(tmp_path, second).database.volume_gb == 2


# Sleep


def restless(folder, agent, path="/api/flows/filter", count=6, **fields):
    """Return the facts of a server that is woken every six minutes by one sender."""
    events, wakes = [], []
    for turn in range(count):
        ago = 60 + turn * 360
        events += [event("suspend", "suspended", ago - 50), event("start", "started", ago)]
        wakes.append(Wake(NOW - timedelta(seconds=ago), path, agent, "203.0.113.x"))
    events += [event("suspend", "suspended", 90 + count * 360), event("launch", "created", 5000)]
    facts = facts_of(folder, events=events, state="suspended", **fields)
    return replace(facts, wakes=tuple(reversed(wakes)))


@pytest.mark.parametrize(
    ("agent", "path", "who"),
    [
        ("Mozilla/5.0 (X11)", "/api/ui/flow_runs/history", Who.BROWSER),
        ("UptimeRobot/2.0", "/", Who.MONITOR),
        ("curl/8", "/api/health", Who.MONITOR),
        ("prefect/3.9.1 (API 0.8.4)", "/api/flows/", Who.POLLER),
        ("python-httpx/0.28", "/api/work_pools/p/get_scheduled_flow_runs", Who.POLLER),
        ("roost-waker", "/api/health", Who.ROOST),
        ("Go-http-client/2", "/x", Who.OTHER),
    ],
)
def test_who_wakes_is_told_by_user_agent_and_path(agent, path, who):
    assert who_sent(Wake(NOW, path, agent, "")) is who


@pytest.mark.parametrize("agent", ["Mozilla/5.0", "prefect/3.8.8", "other"])
def test_a_server_that_never_rests_gets_an_idle_time_longer_than_the_gaps(tmp_path, agent):
    facts = restless(tmp_path, agent)

    check = only(facts)

    assert "woken again 6 times within an hour" in check.what
    assert any("/api/flows/filter from 203.0.113.x" in line for line in check.evidence)
    idle = facts.file.environment.scaling.idle_after
    assert apply_change(tmp_path, check).scaling.idle_after > idle


def test_a_monitor_is_to_be_moved_and_roost_itself_is_no_fault(tmp_path):
    check = only(restless(tmp_path, "UptimeRobot/2.0", "/api/health"))
    assert "stop the monitor" in check.mend
    assert check.change == ""
    assert check.commands[0].words == ("status", "demo")

    assert faults(restless(tmp_path, "roost-waker", "/api/health")) == []


def test_gaps_longer_than_an_hour_of_idle_time_keep_it_awake_instead(tmp_path):
    facts = restless(tmp_path, "other", scaling={"idle_after": "59m"})

    assert apply_change(tmp_path, only(facts)).scaling.autostop == "off"


def test_a_server_that_nobody_noted_for_is_still_reported(tmp_path):
    check = only(replace(restless(tmp_path, "x"), wakes=()))

    assert "its machine has no note of who woke it" in check.evidence


def test_starts_after_failures_that_a_change_ended_are_no_wakes(tmp_path):
    ends = [
        each
        for ago in range(100, 700, 100)
        for each in (
            event("start", "started", ago - 5),
            event("exit", "stopped", ago, **EXITED),
        )
    ]
    events = [event("start", "started", 10), event("update", "started", 20), *ends, LAUNCHED]

    assert faults(replace(facts_of(tmp_path, events=events), answer=Answer("200"))) == []


def test_wakes_before_the_last_change_are_not_told_again(tmp_path):
    """The change may have been the one that was proposed."""
    facts = restless(tmp_path, "Mozilla/5.0")
    [machine] = facts.machines
    changed = Machine.model_validate(
        {"id": "m1", "events": [event("start", "started", 1), event("update", "started", 2)]}
    ).events
    machine = machine.model_copy(update={"events": [*changed, *machine.events]})

    assert len(faults(facts)) == 1
    assert faults(replace(facts, machines=(machine,))) == []


def test_a_check_that_fly_cannot_connect_tells_of_a_running_server_that_listens_elsewhere(tmp_path):
    facts = replace(facts_of(tmp_path, events=[STARTED, LAUNCHED]), answer=Answer("503"))
    [machine] = facts.machines
    check = Check(name="a", status="critical", output="connect: connection refused")

    found = only(replace(facts, machines=(machine.model_copy(update={"checks": (check,)}),)))
    fine = check.model_copy(update={"status": "passing"})
    untold = only(replace(facts, machines=(machine.model_copy(update={"checks": (fine,)}),)))

    assert found.what == "the server does not serve: it does not listen on the port that Fly asks"
    assert 'it said: "Fly\'s check: connect: connection refused"' in found.evidence
    assert untold.what == "the server does not serve"


def test_a_few_wakes_and_a_server_that_never_sleeps_are_no_fault(tmp_path):
    assert faults(restless(tmp_path, "x", count=3)) == []
    assert faults(restless(tmp_path, "x", scaling={"autostop": "off"})) == []


# Around it


def test_an_app_without_an_address_a_cordoned_machine_and_a_wrong_clock_are_reported(tmp_path):
    facts = replace(facts_of(tmp_path, events=[LAUNCHED]), answer=Answer("200", clock_s=-90.0))
    closed = facts.machines[0].model_copy(update={"cordoned": True})

    found = faults(replace(facts, addresses=0, machines=(closed,)))

    assert ["has no address" in found[0].what, "cordoned" in found[1].what] == [True, True]
    assert "90 s behind this computer's" in found[2].what


def test_a_client_that_is_too_old_for_the_server_is_told_by_its_user_agent(tmp_path):
    wake = Wake(NOW, "/api/flows/", "prefect/3.1.10 (API 0.8.4)", "203.0.113.x")
    facts = replace(facts_of(tmp_path, events=[LAUNCHED]), answer=Answer("200"), wakes=(wake,))

    assert "Its Prefect 3.1.10 completes flow runs and loses task runs" in only(facts).mend


# What is read


def test_no_secret_and_no_login_stays_in_a_line_of_the_log():
    hide = hider([SecretText("postgresql://u:p%40ss@h/x"), SecretText("ada:hunter2")])

    said = hide("p@ss p%40ss hunter2 https://bob:other@h Basic YWRhOg== and u at h")

    assert said == "[hidden] [hidden] [hidden] https://[hidden]@h Basic [hidden] and u at h"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("postgresql://u:p@ss@db/x", "postgresql://[hidden]@db/x"),
        ("at https://a:b@h and redis://:c@d@e:1/0", "at https://[hidden]@h and redis://[hidden]@e:1/0"),
        ("mail to ops@example.com", "mail to ops@example.com"),
    ],
)  # fmt: skip
def test_a_login_of_anybody_is_hidden_up_to_its_host(line, shown):
    assert hider([])(line) == shown


@pytest.mark.parametrize("found", [None, {}, "x", [1], [{"at": "x"}], [{"at": 1e300}], [{}]])
def test_wakes_of_another_form_are_left_out(found):
    assert read_wakes(found) == ()


def test_words_of_a_wake_are_shortened_and_cleaned():
    [wake] = read_wakes([{"at": 1, "path": "/" + "x" * 200, "agent": "a\x1b[1m", "from": None}])

    assert (len(wake.path), wake.agent, wake.address) == (80, "a?[1m", "")

"""Secrets from their source to the process that runs with them, on a local Fly and by real programs."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.api_door import counting
from helpers.roost_command import finish
from helpers.small_server import ILL, NAME, SMALL, TROUBLE
from helpers.sops_files import age_key, encrypt
from roost.environment.model import AUTH_SECRET
from roost.fly.models import SecretInfo
from roost.plan.releases import decode, secrets_digest

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
PLAN = ("plan", NAME, "--local")
SECRETS = ("secrets", NAME, "--local")
HOOK = "HOOK_URL"
OLD, NEW = {HOOK: "https://hooks.example/old"}, {HOOK: "https://hooks.example/new"}
MANY = 20


@pytest.fixture
def hooked(site):
    """An environment with a secret that no login depends on, applied."""
    write(site, AUTH_SECRET, HOOK)
    site.roost.run(*APPLY, **OLD)
    return site


def write(site, *secrets, **fields):
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, secrets=list(secrets), **fields)


def machine(site):
    [found] = site.list("machines")
    return found


def act(site, what, state):
    """Have the machine stopped, suspended or started, and wait until it is."""
    key = machine(site)["id"]
    site.daemon.call("POST", f"{site.app}/machines/{key}/{what}")
    site.daemon.wait(site.app, key, state)


def seen(site):
    """Return what the machine's process has in its environment."""
    [process] = site.daemon.call("GET", f"{site.app}/machines/{machine(site)['id']}/ps")[:1]
    environ = Path(f"/proc/{process['pid']}/environ").read_bytes().decode().split("\0")
    return dict(line.partition("=")[::2] for line in environ)


def releases(site):
    """Return what the machine remembers of its releases, and whether each is true to Fly's secrets."""
    infos = site.daemon.call("GET", f"{site.app}/secrets")["secrets"]
    digest = secrets_digest(SecretInfo(**info) for info in infos)
    metadata = machine(site)["config"]["metadata"]
    records = [decode(text) for key, text in metadata.items() if key.startswith("roost_release_")]
    return [(r.number, r.verdict.value, r.secrets == digest) for r in records]


@contextmanager
def door_of(site):
    """Stand between Roost and the API."""
    with counting(str(site.daemon.client.base_url)) as door:
        site.lead_to(door.url)
        yield door
    site.lead_to(str(site.daemon.client.base_url))


def set_by_hand(site, **values):
    site.daemon.call("POST", f"{site.app}/secrets", {"values": values})


def states(site, **environ):
    document = site.roost.json(*SECRETS, **environ)
    return {entry["name"]: entry["state"] for entry in document["secrets"]}


# Rotation


def test_a_running_machine_is_restarted_with_the_new_value_under_the_gate(hooked):
    said = hooked.roost.run(*APPLY, **NEW)

    assert seen(hooked)[HOOK] == NEW[HOOK]
    assert releases(hooked) == [(1, "good", False), (2, "good", True)]
    assert f"set the secrets {HOOK} (its value changed, from " in said.stderr
    assert "created, completed, read back, removed" in said.stderr


def test_what_this_fly_does_with_a_suspended_machine_is_what_rotation_has_to_reckon_with(hooked):
    act(hooked, "suspend", "suspended")
    set_by_hand(hooked, **NEW)
    act(hooked, "start", "started")

    assert seen(hooked)[HOOK] == OLD[HOOK]

    act(hooked, "stop", "stopped")
    act(hooked, "start", "started")
    assert seen(hooked)[HOOK] == NEW[HOOK]


@pytest.mark.parametrize(
    ("how", "asleep"), [("suspend", "suspended"), ("stop", "stopped")], ids=["suspend", "stop"]
)
def test_a_sleeping_machine_is_not_started_and_wakes_with_the_new_value(hooked, how, asleep):
    act(hooked, how, asleep)
    before = machine(hooked)["events"][0]["id"]

    hooked.roost.run(*APPLY, **NEW)

    since = [e["type"] for e in machine(hooked)["events"] if e["id"] > before]
    assert machine(hooked)["state"] == "stopped"
    assert "start" not in since
    assert releases(hooked) == [(1, "unproved", True)], "no gate has seen it with these secrets"
    assert hooked.roost.json(*PLAN, **NEW)["steps"] == []
    listed = " ".join(hooked.roost.run("releases", NAME, "--local").stdout.split())
    assert "unproved, live" in listed
    assert f"Prove it: ./run roost smoke {NAME} --local" in listed
    hooked.roost.run("smoke", NAME, "--local", "--stock", **NEW)
    assert seen(hooked)[HOOK] == NEW[HOOK]
    assert releases(hooked) == [(1, "good", True)]


def test_a_rotation_that_fails_the_gate_says_that_no_value_comes_back(site):
    write(site, AUTH_SECRET, TROUBLE)
    site.roost.run(*APPLY, **{TROUBLE: "none"})

    said = site.roost.run(*APPLY, expect=5, **{TROUBLE: ILL})

    assert "Fly does not return an old value. Set the previous value" in said.stderr
    site.roost.run(*APPLY, **{TROUBLE: "none"})
    assert [verdict for _, verdict, _ in releases(site)][-1] == "good"


def test_a_value_set_by_hand_is_told_without_values_and_replaced_with_them(hooked):
    set_by_hand(hooked, **NEW)

    assert states(hooked, **{AUTH_SECRET: ""}) == {
        AUTH_SECRET: "not checked",
        HOOK: "set by hand",
    }
    hooked.roost.run(*APPLY, **OLD)

    assert seen(hooked)[HOOK] == OLD[HOOK]
    assert states(hooked, **OLD) == {AUTH_SECRET: "unchanged", HOOK: "unchanged"}


def test_what_is_not_declared_is_kept_until_the_file_says_otherwise(hooked):
    set_by_hand(hooked, LEFT_OVER="x")
    kept = hooked.roost.run(*APPLY, **OLD)
    assert "The app has secrets that the file does not list: LEFT_OVER." in kept.stderr

    write(hooked, AUTH_SECRET, HOOK, prune=True)
    hooked.roost.run(*APPLY, **NEW)

    assert "LEFT_OVER" not in seen(hooked)
    assert seen(hooked)[HOOK] == NEW[HOOK]
    assert states(hooked, **NEW) == {AUTH_SECRET: "unchanged", HOOK: "unchanged"}


@pytest.mark.parametrize("how", ["", "suspend"], ids=["awake", "asleep"])
def test_a_rotation_killed_after_each_change_in_turn_is_finished_by_the_next(hooked, how):
    if how:
        act(hooked, how, "suspended")
    moments = []
    with door_of(hooked) as door:
        for _ in range(MANY):
            end_leases(hooked)
            done, moment = killed_after(hooked, door, moments)
            if moment is None:
                break
            moments.append(moment)

    assert done.returncode == 0, done.stderr
    assert {"/secrets", "/machines"} <= set(moments)
    assert hooked.roost.json(*PLAN, **NEW)["steps"] == []
    act(hooked, "start", "started")
    assert seen(hooked)[HOOK] == NEW[HOOK]
    # Nobody has proved a sleeping server with its new secrets.
    assert releases(hooked)[-1][1:] == ("unproved" if how else "good", True)


def killed_after(site, door, known):
    """Rotate, killed when a change that is not known yet was made; say which, None if none was."""
    process = site.roost.begin(*APPLY, **NEW)
    met = []

    def end(call):
        kind = call.replace(f"/v1{site.app}", "").replace(f"/{machine(site)['id']}", "")
        verb, _, path = kind.partition(" ")
        if verb != "GET" and "lease" not in path and path not in known and not met:
            met.append(path)
            process.send_signal(signal.SIGKILL)
            process.wait()

    door.answered = end
    return finish(process), met[0] if met else None


def end_leases(site):
    """Let the lease of whoever was killed run out."""
    path = f"{site.app}/machines/{machine(site)['id']}/lease"
    held = site.daemon.client.get(f"/v1{path}").json().get("data")
    if held:
        nonce = {"fly-machine-lease-nonce": held["nonce"]}
        site.daemon.call("DELETE", path, headers=nonce)


def test_setting_rolls_out_a_value_and_nothing_else(hooked):
    write(hooked, AUTH_SECRET, HOOK, machine={"memory_mb": 1024})
    refused = hooked.roost.run(*SECRETS, "--set", expect=3, **NEW)
    assert "The plan changes more than secrets: machine/app-1 (guest.memory_mb)." in refused.stderr
    assert seen(hooked)[HOOK] == OLD[HOOK]

    write(hooked, AUTH_SECRET, HOOK)
    said = hooked.roost.run(*SECRETS, "--set", **NEW)

    assert said.stdout == f"{NAME}: set {HOOK}. Proved.\n"
    assert seen(hooked)[HOOK] == NEW[HOOK]
    assert releases(hooked) == [(1, "good", False), (2, "good", True)]


def test_setting_does_not_start_a_machine_that_sleeps(hooked):
    act(hooked, "suspend", "suspended")
    before = machine(hooked)["events"][0]["id"]

    said = hooked.roost.run(*SECRETS, "--set", **NEW)

    assert "The server sleeps and wakes with them" in said.stdout
    assert "start" not in [e["type"] for e in machine(hooked)["events"] if e["id"] > before]
    act(hooked, "start", "started")
    assert seen(hooked)[HOOK] == NEW[HOOK]


# Nothing to do, and nothing to see


def test_an_apply_with_the_same_values_only_reads(hooked):
    with door_of(hooked) as door:
        hooked.roost.run(*APPLY, **OLD)

    assert set(door.methods) == {"GET"}


def test_a_made_up_login_is_made_once_and_is_no_change_later(site):
    write(site, AUTH_SECRET, HOOK)
    nowhere = {AUTH_SECRET: ""}
    assert states(site, **nowhere) == {AUTH_SECRET: "missing", HOOK: "missing"}
    first = site.roost.run(*APPLY, **nowhere, **OLD)
    assert f"{AUTH_SECRET} has no value here. For the local Fly it is: " in first.stderr

    known = {**nowhere, **OLD}
    assert site.roost.json(*PLAN, **known)["steps"] == []
    assert site.roost.json(*PLAN, **known)["unchecked_secrets"] == []
    assert states(site, **known) == {AUTH_SECRET: "unchanged", HOOK: "unchanged"}
    assert "For the local Fly" not in site.roost.run(*APPLY, **known).stderr


def test_a_secret_that_is_no_login_is_never_made_up(site):
    write(site, AUTH_SECRET, HOOK)

    said = site.roost.run(*APPLY, expect=3)

    assert f"{HOOK} (the environment variable {HOOK} is not set)" in said.stderr


def test_a_forgotten_value_leaves_what_is_set(hooked):
    before = seen(hooked)

    hooked.roost.run(*APPLY)

    assert seen(hooked)[HOOK] == before[HOOK] == OLD[HOOK]
    assert states(hooked)[HOOK] == "not checked"


# The verb


def test_the_table_says_name_state_and_source_and_what_to_do(hooked):
    set_by_hand(hooked, LEFT_OVER="x")

    said = hooked.roost.run(*SECRETS, "--exit-code", expect=2, **NEW)

    lines = [line.split() for line in said.stdout.splitlines()]
    assert lines[:4] == [
        ["secret", "state", "source"],
        [HOOK, "changed", f"${HOOK}"],
        [AUTH_SECRET, "unchanged", f"${AUTH_SECRET}"],
        ["LEFT_OVER", "extra", "-"],
    ]
    assert said.stdout.splitlines()[-1].startswith(
        f"To apply it: ./run roost apply {NAME} --local; and "
    )
    assert NEW[HOOK] not in said.stdout + said.stderr


def test_looking_needs_no_value_changes_nothing_and_says_what_it_could_not_check(hooked):
    fly = {"FLY_FLAPS_BASE_URL": str(hooked.daemon.client.base_url), "FLY_API_TOKEN": "any"}
    with counting(str(hooked.daemon.client.base_url)) as door:
        fly["FLY_FLAPS_BASE_URL"] = door.url
        said = hooked.roost.run("secrets", NAME, "--exit-code", **fly)
        plan = hooked.roost.run("plan", NAME, "--exit-code", **fly)

    assert set(door.methods) == {"GET"}
    assert f"{HOOK} has no value here: the environment variable {HOOK} is not set. Set it." in (
        said.stdout
    )
    assert f"Not checked, as their values are not available here: {HOOK} (from " in plan.stdout


# SOPS


def test_a_value_goes_from_a_sops_file_to_the_machine_and_is_rotated_there(site):
    key = age_key()
    holder = {"SOPS_AGE_KEY": key.private}
    file = site.roost.environments.parent / "demo.sops.yaml"
    encrypt(file, f"{HOOK}: {OLD[HOOK]}\n", key)
    write(site, AUTH_SECRET, {"name": HOOK, "from": {"sops": file.name}})
    assert "1 environment valid." in site.roost.run("validate").stdout

    site.roost.run(*APPLY, **holder)
    assert seen(site)[HOOK] == OLD[HOOK]
    assert states(site, **holder) == {AUTH_SECRET: "unchanged", HOOK: "unchanged"}
    assert states(site)[HOOK] == "not checked"

    encrypt(file, f"{HOOK}: {NEW[HOOK]}\n", key)
    assert states(site, **holder)[HOOK] == "changed"
    site.roost.run(*APPLY, **holder)
    assert seen(site)[HOOK] == NEW[HOOK]


def test_an_apply_to_fly_without_the_key_names_the_recipient_and_changes_nothing(site):
    key = age_key()
    encrypt(site.roost.environments.parent / "demo.sops.yaml", f"{HOOK}: x\n", key)
    write(site, AUTH_SECRET, {"name": HOOK, "from": {"sops": "demo.sops.yaml"}})

    with counting(str(site.daemon.client.base_url)) as door:
        fly = {"FLY_FLAPS_BASE_URL": door.url, "FLY_API_TOKEN": "any"}
        said = site.roost.run("apply", NAME, expect=3, **fly)

    assert f"there is no key for {key.recipient}" in said.stderr
    assert "Set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE to its age key." in said.stderr
    assert set(door.methods) == {"GET"}


def test_a_sops_file_in_the_clear_stops_everything_before_any_call(site):
    (site.roost.environments.parent / "demo.sops.yaml").write_text(f"{HOOK}: {OLD[HOOK]}\n")
    write(site, AUTH_SECRET, {"name": HOOK, "from": {"sops": "demo.sops.yaml"}})

    said = site.roost.run(*APPLY, expect=3)

    assert "demo.sops.yaml is not encrypted: anyone who reads the repository" in said.stderr
    assert OLD[HOOK] not in said.stderr
    assert site.list("machines") == []

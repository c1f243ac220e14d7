"""`roost secrets`: a row a secret, what is to be done, and never a value."""

from __future__ import annotations

import json

import pytest

from helpers.fake_prefect import LOGIN
from roost.environment.model import AUTH_SECRET
from roost.plan.secret_fingerprints import MARKS_KEY


@pytest.fixture
def applied(roost):
    """The command line, after a first apply."""
    assert roost("apply", "staging").code == 0
    return roost


def document(roost):
    said = roost("secrets", "staging", "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def the_machine(fly):
    [machine] = fly.machines.values()
    return machine


def test_before_the_first_apply_all_are_missing(roost, fly):
    assert document(roost) == {
        "environment": "staging",
        "app": "acme-prefect",
        "to_do": True,
        "behind": [],
        "secrets": [
            {
                "name": AUTH_SECRET,
                "state": "missing",
                "source": f"${AUTH_SECRET}",
                "value_here": True,
                "why_not": "",
            }
        ],
        "secrets_of_blocks": {},
    }
    assert fly.changes == []


def test_after_an_apply_there_is_nothing_to_do(applied):
    found = document(applied)

    assert [secret["state"] for secret in found["secrets"]] == ["unchanged"]
    assert found["to_do"] is False
    assert applied("secrets", "staging", "--exit-code").code == 0


def test_a_value_that_is_not_here_is_no_failure_and_told_with_what_to_do(applied, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)

    said = applied("secrets", "staging", "--exit-code")

    assert said.code == 0
    assert "not checked" in said.out
    assert f"the environment variable {AUTH_SECRET} is not set. Set it." in said.out


@pytest.mark.parametrize(("prune", "code"), [(False, 0), (True, 2)], ids=["kept", "to be removed"])
def test_an_extra_one_is_something_to_do_where_the_file_prunes(applied, fly, rewrite, prune, code):
    fly.secrets["LEFT_OVER"] = "x"
    rewrite(prune=prune)

    said = applied("secrets", "staging", "--exit-code")

    assert said.code == code
    assert "extra" in said.out


def test_a_machine_that_booted_with_older_secrets_is_named(applied, fly):
    machine = the_machine(fly)
    del machine["config"]["metadata"][MARKS_KEY]

    said = applied("secrets", "staging", "--exit-code")

    assert said.code == 2
    assert "unknown" in said.out
    assert f"May have booted with older secrets: {machine['id']}." in said.out


def test_no_form_shows_a_value(applied, fly, monkeypatch):
    monkeypatch.setenv(AUTH_SECRET, "admin:another")
    mark = the_machine(fly)["config"]["metadata"][MARKS_KEY]
    salt, made = mark.rstrip('"}').split("$")[-2:]

    said = [applied("secrets", "staging"), applied("secrets", "staging", "--json")]

    text = "".join(s.out + s.err for s in said)
    assert "changed" in text
    for hidden in (LOGIN.partition(":")[2], "another", salt, made):
        assert hidden not in text


ANOTHER = "admin:another"


def rotate(monkeypatch, prefect):
    """Have another value, that the server knows."""
    monkeypatch.setenv(AUTH_SECRET, ANOTHER)
    prefect.login = ANOTHER


def set_now(fly):
    """Return the values that Fly was given."""
    return dict(fly.secrets)


def test_setting_sets_what_changed_rolls_it_out_and_proves_it(applied, fly, prefect, monkeypatch):
    before, digest = the_machine(fly)["instance_id"], set_now(fly)
    rotate(monkeypatch, prefect)
    prefect.asked.clear()

    said = applied("secrets", "staging", "--set")

    assert (said.code, said.out) == (0, f"staging: set {AUTH_SECRET}. Proved.\n")
    assert set_now(fly) != digest
    assert the_machine(fly)["instance_id"] != before
    assert prefect.asked
    assert document(applied)["to_do"] is False


def test_setting_what_is_set_changes_nothing(applied, fly):
    fly.asked.clear()

    said = applied("secrets", "staging", "--set")

    assert (said.code, said.out) == (0, "staging: there is nothing to set.\n")
    assert fly.changes == []


def test_setting_does_not_wake_who_sleeps(applied, fly, prefect, monkeypatch):
    the_machine(fly)["state"] = "suspended"
    rotate(monkeypatch, prefect)
    prefect.asked.clear()

    said = applied("secrets", "staging", "--set")

    assert said.code == 0
    assert (
        "The server sleeps and wakes with them. Prove it then: ./run roost smoke staging"
        in said.out
    )
    assert the_machine(fly)["state"] == "stopped"
    assert prefect.asked == []


def test_setting_does_nothing_where_more_is_pending(applied, fly, monkeypatch, rewrite):
    rewrite(machine={"memory_mb": 1024})
    monkeypatch.setenv(AUTH_SECRET, ANOTHER)
    fly.asked.clear()

    said = applied("secrets", "staging", "--set")

    assert (said.code, said.out) == (3, "")
    assert "[cannot-apply]: staging: The plan changes more than secrets: " in said.err
    assert "machine/app-1 (guest.memory_mb)" in said.err
    assert "Nothing was changed." in said.err
    assert fly.changes == []


def test_setting_before_the_first_apply_says_what_is_missing(roost, fly):
    said = roost("secrets", "staging", "--set")

    assert said.code == 3
    assert "The plan changes more than secrets: app/acme-prefect; " in said.err
    assert fly.changes == []


def test_setting_a_newly_declared_one_is_setting_secrets(applied, fly, monkeypatch, rewrite):
    rewrite(secrets=[AUTH_SECRET, "HOOK"])
    monkeypatch.setenv("HOOK", "https://hooks.example/1")

    said = applied("secrets", "staging", "--set")

    assert (said.code, said.out) == (0, "staging: set HOOK. Proved.\n")
    assert "HOOK" in fly.secrets


def test_setting_removes_what_the_file_prunes(applied, fly, rewrite):
    fly.secrets["LEFT_OVER"] = "x"
    rewrite(prune=True)

    said = applied("secrets", "staging", "--set", "--json")

    assert said.code == 0
    assert json.loads(said.out)["gate"]
    assert "LEFT_OVER" not in fly.secrets


def test_setting_without_a_value_names_it_and_changes_nothing(applied, fly, monkeypatch):
    fly.secrets[AUTH_SECRET] = "set by hand"
    monkeypatch.delenv(AUTH_SECRET)
    fly.asked.clear()

    said = applied("secrets", "staging", "--set")

    assert said.code == 3
    assert "[secret-missing]" in said.err
    assert fly.changes == []


def test_setting_leaves_nothing_to_tell_by_an_exit_code(applied):
    said = applied("secrets", "staging", "--set", "--exit-code")

    assert (said.code, said.out) == (3, "")
    assert "leave out one of them" in said.err


def test_an_environment_without_secrets_says_so(roost, rewrite):
    rewrite(access={"public": False, "auth": "none"}, secrets=[])

    assert roost("secrets", "staging").out == "It has no secrets.\n"


# Set in sleep: unproved until something proves it


def verdicts(roost):
    found = json.loads(roost("releases", "staging", "--json").out)["releases"]
    return [release["verdict"] for release in found]


@pytest.fixture
def rotated_asleep(roost, fly, monkeypatch, prefect):
    """A server that was given another login while it slept."""
    roost("apply", "staging")
    [machine] = fly.machines.values()
    machine["state"] = "stopped"
    rotate(monkeypatch, prefect)
    done = roost("apply", "staging")
    assert done.code == 0, done.err
    assert "Its release is unproved until then: ./run roost smoke staging" in done.err
    return machine


@pytest.mark.usefixtures("rotated_asleep")
@pytest.mark.parametrize("verb", ["smoke", "wake"])
def test_what_was_set_in_sleep_is_unproved_until_it_is_proved(roost, verb):
    assert verdicts(roost) == ["unproved"]

    said = roost(verb, "staging")

    assert said.code == 0, said.err
    assert "Release 1 was unproved and is proved now." in said.err
    assert verdicts(roost) == ["good"]


@pytest.mark.usefixtures("rotated_asleep")
@pytest.mark.parametrize("verb", ["smoke", "wake"])
def test_a_server_that_wakes_and_does_not_let_in_stays_unproved(roost, prefect, verb):
    prefect.login = "admin:somebody-else"

    said = roost(verb, "staging")

    assert said.code == 1
    assert verdicts(roost) == ["unproved"]


@pytest.mark.usefixtures("rotated_asleep")
def test_waking_without_the_login_says_that_nothing_was_proved(roost, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("wake", "staging")

    assert said.code == 0
    assert f"stays unproved, because the value of {AUTH_SECRET} is not here" in said.err
    assert verdicts(roost) == ["unproved"]

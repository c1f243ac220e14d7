"""Generated values for the local Fly: made once, readable by the user alone, deleted on request."""

from __future__ import annotations

import stat

import pytest

from helpers.environments import environment_file
from roost.commands.up import client_settings, login_advice
from roost.environment.model import AUTH_SECRET
from roost.operations.context import Context
from roost.operations.generated_secrets import GeneratedSecrets, generated_secrets_file, make_value


@pytest.fixture
def home(tmp_path):
    return tmp_path / "localfly"


def revealed(values):
    return {name: value.reveal() for name, value in values.items()}


def test_a_value_is_new_once_and_the_same_from_then_on(home):
    first, new = GeneratedSecrets(home).values("acme", [AUTH_SECRET])
    second, again = GeneratedSecrets(home).values("acme", [AUTH_SECRET])

    assert (new, again) == ({AUTH_SECRET}, frozenset())
    assert revealed(first) == revealed(second)


def test_only_what_has_no_value_yet_is_made(home):
    book = GeneratedSecrets(home)
    before, _ = book.values("acme", ["HOOK"])

    after, new = book.values("acme", ["HOOK", "KEY"])

    assert new == {"KEY"}
    assert after["HOOK"] == before["HOOK"]


def test_apps_do_not_share_values(home):
    one, _ = GeneratedSecrets(home).values("one", ["HOOK"])
    other, new = GeneratedSecrets(home).values("other", ["HOOK"])

    assert new == {"HOOK"}
    assert one != other


def test_the_file_is_for_the_user_alone_from_its_first_moment(home):
    GeneratedSecrets(home).values("acme", ["HOOK"])

    assert stat.S_IMODE(generated_secrets_file(home).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [generated_secrets_file(home).name]


def test_nothing_is_written_where_nothing_is_new(home):
    GeneratedSecrets(home).values("acme", [])

    assert not home.exists()


def test_only_looking_makes_no_value_and_writes_nothing(home):
    assert GeneratedSecrets(home).known("acme", ["HOOK"]) == {}
    assert not home.exists()

    made, _ = GeneratedSecrets(home).values("acme", ["HOOK"])

    assert GeneratedSecrets(home).known("acme", ["HOOK", "KEY"]) == made


def test_forgotten_values_are_made_anew(home):
    book = GeneratedSecrets(home)
    before, _ = book.values("acme", ["HOOK"])

    book.forget()
    book.forget()
    after, new = book.values("acme", ["HOOK"])

    assert new == {"HOOK"}
    assert after != before


def test_a_value_hides_itself(home):
    values, _ = GeneratedSecrets(home).values("acme", ["HOOK"])

    assert values["HOOK"].reveal() not in repr(values)


def test_the_login_has_the_form_that_prefect_asks_for():
    user, _, password = make_value(AUTH_SECRET).partition(":")

    assert user == "admin"
    assert len(password) >= 16
    assert ":" not in make_value("HOOK")


# How to log in


@pytest.mark.parametrize(
    ("fields", "environ", "advice"),
    [
        ({}, {AUTH_SECRET: "a:b"}, f"Log in with the value you gave for {AUTH_SECRET}."),
        ({}, {}, "it is kept in\n{file}"),
        ({"access": {"public": False, "auth": "none"}, "secrets": []}, {}, "Anyone who reaches it"),
    ],
    ids=["given", "throwaway", "no login"],
)
def test_the_advice_says_where_the_value_is_and_never_the_value(home, fields, environ, advice):
    environ = {**environ, "LOCALFLY_HOME": str(home)}
    context = Context(environ, home, out=None, progress=None)

    said = login_advice(context, environment_file(**fields))

    assert advice.format(file=generated_secrets_file(home)) in said
    assert "a:b" not in said


def test_the_lines_to_copy_name_the_login_by_a_placeholder_and_only_where_there_is_one():
    open_to_all = {"access": {"public": False, "auth": "none"}, "secrets": []}
    address = "  export PREFECT_API_URL=http://127.0.0.1:4300/api"

    with_login = client_settings(environment_file(), "http://127.0.0.1:4300").splitlines()
    without = client_settings(environment_file(**open_to_all), "http://127.0.0.1:4300").splitlines()

    assert with_login[1:] == [address, "  export PREFECT_API_AUTH_STRING=USER:PASSWORD"]
    assert without[1:] == [address]

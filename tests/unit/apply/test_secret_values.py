"""Values of secrets are found or missed before anything is called, and shown nowhere."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.applying import VALUE, desired_of, plan_and_apply
from helpers.environments import POSTGRES, environment_file
from helpers.fake_fly import FakeFly
from helpers.fly_answers import says
from helpers.fly_trouble import TroubledFly
from roost.apply.secret_values import (
    check_usable,
    database_note,
    find_values,
    login_fault,
    require,
    source_text,
)
from roost.apply.sops import SopsFiles
from roost.environment.model import AUTH_SECRET
from roost.errors import ExitCode, MissingSecretError, UnusableSecretError
from roost.plan.document import canonical, plan_document
from roost.secret_text import SecretText

SECRETS_CALL = 6  # of a first apply
NOWHERE = Path("/nowhere")


def declared(*secrets):
    return environment_file(secrets=list(secrets)).environment


def find(environment, environ):
    return find_values(environment, environ, SopsFiles(NOWHERE, environ))


def test_a_value_comes_from_the_variable_of_its_name_or_the_one_the_file_names():
    environment = declared(AUTH_SECRET, {"name": "HOOK", "from": {"env": "STAGING_HOOK"}})
    environ = {AUTH_SECRET: "a:b", "STAGING_HOOK": "hook", "HOOK": "not this one"}

    values = find(environment, environ)

    assert {name: value.reveal() for name, value in values.found.items()} == {
        AUTH_SECRET: "a:b",
        "HOOK": "hook",
    }
    assert values.missing == {}


@pytest.mark.parametrize("environ", [{}, {AUTH_SECRET: ""}], ids=["unset", "empty"])
def test_a_value_that_is_not_there_is_missing_and_not_empty(environ):
    values = find(declared(AUTH_SECRET), environ)

    assert values.found == {}
    assert values.missing[AUTH_SECRET].why == f"the environment variable {AUTH_SECRET} is not set"


def test_what_is_no_text_is_told_before_anything_is_sent():
    values = find(declared(AUTH_SECRET), {AUTH_SECRET: "a:\udce9"})  # a byte that is not UTF-8

    assert values.missing[AUTH_SECRET].why == f"${AUTH_SECRET} is not UTF-8 text"


def test_a_sops_file_that_cannot_be_read_leaves_its_value_missing_and_stops_nothing():
    hook = {"name": "HOOK", "from": {"sops": "production.sops.yaml"}}

    values = find(declared(AUTH_SECRET, hook), {AUTH_SECRET: "a:b", "HOOK": "x"})

    assert set(values.found) == {AUTH_SECRET}
    assert values.missing["HOOK"].why.startswith("production.sops.yaml does not exist")


def test_a_made_up_value_is_missing_no_more():
    made = find(declared("HOOK"), {"HOOK": "x"}).found

    values = find(declared(AUTH_SECRET, "HOOK"), {}).with_made(made)

    assert set(values.found) == {"HOOK"}
    assert set(values.missing) == {AUTH_SECRET}


def test_a_source_is_told_as_the_file_or_the_variable_it_is():
    hook = {"name": "HOOK", "from": {"sops": "production.sops.yaml"}}

    told = [source_text(secret) for secret in declared("KEY", hook).secrets]

    assert told == ["$KEY", "production.sops.yaml"]


def test_every_missing_value_is_named_at_once_with_where_it_was_looked_for():
    values = find(declared(AUTH_SECRET, "HOOK", "IDLE"), {})

    with pytest.raises(MissingSecretError) as failure:
        require((AUTH_SECRET, "HOOK"), values)

    assert failure.value.exit_code is ExitCode.BAD_INPUT
    assert f"{AUTH_SECRET} (the environment variable {AUTH_SECRET} is not set)" in str(
        failure.value
    )
    assert "HOOK (the environment variable HOOK is not set)" in str(failure.value)
    assert "IDLE" not in str(failure.value)


def test_a_missing_value_that_nobody_needs_stops_nothing():
    values = find(declared(AUTH_SECRET, "HOOK"), {AUTH_SECRET: "a:b"})

    require((AUTH_SECRET,), values)

    assert "HOOK" in values.missing


async def echoes(_, request):
    """Refuse a request and repeat all of it."""
    return says(422, {"error": f"unexpected {request.content.decode()}"})


def test_a_value_is_neither_in_the_plan_nor_told_even_when_fly_repeats_it():
    fly = FakeFly()

    run = plan_and_apply(fly, desired_of(), TroubledFly(fly, echoes, SECRETS_CALL))

    told = "".join(traceback.format_exception(run.error))
    assert "unexpected" in told
    assert VALUE not in told + repr(run) + repr(vars(run.error)) + canonical(
        plan_document(run.plan)
    )


def test_an_address_of_a_database_that_cannot_work_is_refused_before_it_is_sent():
    environment = environment_file(POSTGRES).environment
    values = find(environment, {AUTH_SECRET: "a:b", "DATABASE_URL": "'postgres://u:hunter2@h/db'"})

    with pytest.raises(UnusableSecretError) as refused:
        check_usable(values)

    said = str(refused.value)
    assert "DATABASE_URL: its value in $DATABASE_URL begins or ends with a quotation mark" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("port", "expected"),
    [("6543", "DATABASE_URL: it goes through a pooler in transaction mode"), ("5432", "")],
)
def test_a_better_address_is_named_beside_the_secret(port, expected):
    environment = environment_file(POSTGRES).environment
    url = f"postgres://u:hunter2@db.example:{port}/db"

    note = database_note(environment, find(environment, {"DATABASE_URL": url}))

    assert note.startswith(expected)
    assert bool(note) == bool(expected)
    assert "hunter2" not in note


def values_of(text):
    declared = environment_file(secrets=[AUTH_SECRET]).environment
    environ = {AUTH_SECRET: text}
    return find_values(declared, environ, SopsFiles(Path("/nowhere"), environ))


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("admin:hunter2\n", "has a line break or a tab"),
        ("admin:hun\tter2", "has a line break or a tab"),
        (" admin:hunter2", "begins or ends with white space"),
        ("admin:hunter2 ", "begins or ends with white space"),
        ("'admin:hunter2'", "begins or ends with a quotation mark"),
        ('"admin:hunter2"', "begins or ends with a quotation mark"),
        ("admin:hunter2\u00fc", "has a character that is not ASCII"),
        ("admin:hunter2\u2028x", "has a character that is not ASCII"),
        ("admin:hunter2\x07x", "has a character that cannot be printed"),
        ("hunter2", "has no colon"),
        (":hunter2", "has no user"),
        ("hunter2:", "has no password"),
    ],
)
def test_a_login_that_cannot_work_is_refused_by_name_and_without_its_value(value, fault):
    with pytest.raises(UnusableSecretError) as refused:
        check_usable(values_of(value))

    said = str(refused.value)
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    assert f"{AUTH_SECRET}: its value in ${AUTH_SECRET} {fault}" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("value", ["admin:hunter2", "a:b", "a:b:c", "a:b c", "a:it's fine"])
def test_a_login_that_works_is_taken(value):
    assert login_fault(SecretText(value)) == ""


@given(st.text(min_size=1))
def test_what_is_taken_is_what_a_client_can_send_as_it_is(text):
    if not login_fault(SecretText(text)):
        assert text.isascii()
        assert text.isprintable()
        assert text.strip("\"'` ") == text
        assert all(text.partition(":"))


def test_only_the_login_has_a_form():
    declared = environment_file(secrets=[AUTH_SECRET, "HOOK"]).environment
    environ = {AUTH_SECRET: "a:b", "HOOK": "'\u00fc'\n"}

    values = find_values(declared, environ, SopsFiles(Path("/nowhere"), environ))

    assert set(values.found) == {AUTH_SECRET, "HOOK"}

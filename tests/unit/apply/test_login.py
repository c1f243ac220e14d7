"""The form of the login, and what is told of one that cannot work: never any part of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.environments import environment_file
from roost.apply.login import login_fault
from roost.apply.secret_values import check_usable, find_values
from roost.apply.sops import SopsFiles
from roost.environment.model import AUTH_SECRET
from roost.errors import ExitCode, UnusableSecretError
from roost.secret_text import SecretText


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

"""notify --test, and what commands tell that people run from a schedule of their own."""

from __future__ import annotations

import errno

import pytest
import yaml

from helpers.environments import environment_data
from helpers.message_server import MessageServer
from roost.commands import backups
from roost.errors import UsageError
from roost.operations import notifier
from roost.operations.notifier import telling
from roost.report.notice import LONGEST_TEXT, drill_notice


@pytest.fixture
def server():
    with MessageServer() as found:
        yield found


@pytest.fixture
def watched(roost, fly, tmp_path):  # noqa: ARG001 - without it a command starts a local Fly
    """The command line, with `staging` telling one address of everything."""
    data = environment_data(app="acme-staging", notify=[{"url_secret": "CHAT"}])
    (tmp_path / "staging.yaml").write_text(yaml.safe_dump(data))
    return roost


def test_a_test_message_arrives(watched, server, monkeypatch):
    monkeypatch.setenv("CHAT", f"{server.url}/hunter2")

    said = watched("notify", "staging", "--test")

    assert (said.code, said.out) == (0, "CHAT: the message was delivered to its web address.\n")
    [(_, message)] = server.got
    assert message["title"] == "[Roost] staging: a test message"


def test_a_test_message_that_does_not_arrive_is_an_error(watched, monkeypatch):
    monkeypatch.delenv("CHAT", raising=False)

    said = watched("notify", "staging", "--test")

    assert said.code == 1
    assert "the environment variable CHAT is not set" in said.out.replace("\n", " ")


def test_without_the_option_or_an_address_it_says_what_to_do(watched, tmp_path):
    plain = watched("notify", "staging")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(environment_data(app="acme-other")))
    none = watched("notify", "other", "--test")

    assert (plain.code, none.code) == (3, 3)
    assert "./run roost notify staging --test" in plain.err
    assert "names no address" in none.err


def test_a_drill_that_restores_nothing_is_told_and_ends_as_before(watched, server, monkeypatch):
    monkeypatch.setenv("CHAT", f"{server.url}/hunter2")

    said = watched("restore", "staging", "--drill")

    assert said.code != 0
    [(_, message)] = server.got
    assert message["title"] == "[Roost] staging: the backup drill failed"
    assert message["message"]
    assert "hunter2" not in said.out + said.err


def test_a_drill_on_the_local_fly_is_told_nobody():
    """Nothing of the context is read, neither files nor addresses."""
    with (
        pytest.raises(UsageError),
        telling(None, "staging", drill_notice, local=True),
    ):
        raise UsageError("There is no backup.")


def test_an_address_that_is_not_here_or_refuses_changes_no_result(watched, server, monkeypatch):
    monkeypatch.delenv("CHAT", raising=False)
    without = watched("restore", "staging", "--drill")
    monkeypatch.setenv("CHAT", f"{server.url}/gone/hunter2")
    refused = watched("restore", "staging", "--drill")

    assert without.code == refused.code
    assert "CHAT" not in without.err
    assert "Warning: CHAT: the message was not delivered to its web address" in refused.err
    assert "hunter2" not in refused.err


def test_an_apply_that_changed_nothing_is_not_told(watched, server, monkeypatch):
    monkeypatch.setenv("CHAT", server.url)

    said = watched("apply", "staging", "--digest", "sha256:" + "0" * 64)

    assert said.code != 0
    assert server.got == []


def test_an_error_with_a_long_text_is_told_in_short(watched, server, monkeypatch):
    monkeypatch.setenv("CHAT", server.url)

    async def refused(*_, **__):
        raise UsageError("x" * 50_000)

    monkeypatch.setattr(backups, "_drill_volume", refused)
    said = watched("restore", "staging", "--drill")

    [(_, message)] = server.got
    assert len(message["message"]) <= LONGEST_TEXT
    assert said.code == 3
    assert "Warning" not in said.err


def test_a_program_that_cannot_be_started_leaves_the_error_as_it_is(watched, monkeypatch):
    monkeypatch.setenv("CHAT", "https://chat.example/hunter2")
    before = watched("restore", "staging", "--drill")

    def none(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(notifier.subprocess, "Popen", none)
    said = watched("restore", "staging", "--drill")

    assert said.code == before.code
    assert "the program that sends did not run (Cannot allocate memory)" in said.err
    assert "hunter2" not in said.err


def test_what_fails_while_it_is_told_does_not_take_the_place_of_the_error(watched, monkeypatch):
    """A fault of ours: its text is not shown, for it may quote an address."""
    monkeypatch.setenv("CHAT", "https://chat.example/hunter2")
    before = watched("restore", "staging", "--drill")

    def broken(*_, **__):
        raise ValueError("https://chat.example/hunter2")

    monkeypatch.setattr(notifier, "addressed", broken)
    said = watched("restore", "staging", "--drill")

    assert said.code == before.code
    assert "Warning: nobody was told of this error: sending failed (ValueError)." in said.err
    assert "hunter2" not in said.err

"""notify --test, and what commands tell that people run from a schedule of their own."""

from __future__ import annotations

import pytest
import yaml

from helpers.environments import environment_data
from helpers.message_server import MessageServer
from roost.errors import UsageError
from roost.operations.notifier import telling
from roost.report.notice import drill_notice


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

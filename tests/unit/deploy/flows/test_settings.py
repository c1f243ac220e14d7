"""A machine's variables become settings, or a message that names the variable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.flow_server_api import LOGIN
from roost_flows.errors import SettingsError
from roost_flows.settings import command_environment, read_settings


def test_the_settings_of_a_machine(variables, server):
    settings = read_settings(variables, "b1")

    assert settings.name == "nightly"
    assert settings.caller == "nightly/b1"
    assert settings.command == ("python", "serve_flows.py")
    assert settings.api_url == server.url
    assert settings.code == Path(variables["IMAGE_ROOT"]) / "code"
    assert (settings.idle_after_s, settings.stop_limit_s) == (120.0, 60.0)


def test_the_login_is_not_shown(variables):
    assert "s3cret" not in repr(read_settings(variables, "b1"))


def test_a_server_may_have_no_login(variables):
    del variables["PREFECT_API_AUTH_STRING"]

    assert read_settings(variables, "b1").login == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ROOST_FLOW_SERVER", "", "the name of the flow server"),
        ("ROOST_FLOW_SERVER", "a/b", "the name of the flow server"),
        ("ROOST_FLOW_COMMAND", "python x.py", "a JSON list"),
        ("ROOST_FLOW_COMMAND", "[]", "a JSON list"),
        ("ROOST_FLOW_COMMAND", '["python", 1]', "a JSON list"),
        ("ROOST_FLOW_COMMAND", '{"python": "x"}', "a JSON list"),
        ("ROOST_FLOW_ADDRESS", "acme.flycast", "an address"),
        ("PREFECT_API_URL", "http://[", "an address"),
        ("PREFECT_API_URL", "http://host:99999/api", "an address"),
        ("ROOST_FLOW_PORT", "0", "a port"),
        ("ROOST_FLOW_PORT", "http", "a port"),
        ("ROOST_IDLE_ACTION", "sleep", "one of off, suspend, stop"),
        ("ROOST_IDLE_AFTER_S", "soon", "a number of seconds"),
        ("ROOST_STOP_LIMIT_S", "-1", "a number of seconds"),
        ("ROOST_STOP_LIMIT_S", "nan", "a number of seconds"),
        ("ROOST_MISSED", "none", "one of run_latest, run_all, skip"),
    ],
)
def test_a_variable_that_is_not_valid_is_named_with_what_it_must_be(variables, name, value, words):
    with pytest.raises(SettingsError, match=f"{name} must be {words}"):
        read_settings({**variables, name: value}, "b1")


def test_the_command_gets_the_header_a_short_poll_and_its_own_variables(variables, settings):
    environment = command_environment(settings, {**variables, "TZ": "UTC"}, "/tmp/home")

    assert json.loads(environment["PREFECT_CLIENT_CUSTOM_HEADERS"]) == {
        "X-Roost-Flow-Server": "nightly/b1"
    }
    assert environment["ROOST_FLOW_BOOT"] == "b1"
    assert environment["PREFECT_RUNNER_POLL_FREQUENCY"] == "1"
    assert environment["PREFECT_HOME"] == "/tmp/home"
    assert environment["PREFECT_API_AUTH_STRING"] == LOGIN
    assert environment["TZ"] == "UTC"


def test_a_flow_server_that_always_runs_asks_as_prefect_does(variables):
    always = read_settings({**variables, "ROOST_IDLE_ACTION": "off"}, "b1")

    assert "PREFECT_RUNNER_POLL_FREQUENCY" not in command_environment(always, variables, "/x")


def test_what_the_user_set_is_kept(variables, settings):
    mine = {"PREFECT_RUNNER_POLL_FREQUENCY": "30", "PREFECT_HOME": "/data"}
    headers = {"PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Mine": "1"}'}

    environment = command_environment(settings, {**variables, **mine, **headers}, "/tmp/home")

    assert {name: environment[name] for name in mine} == mine
    assert json.loads(environment["PREFECT_CLIENT_CUSTOM_HEADERS"])["X-Mine"] == "1"


@pytest.mark.parametrize("value", ["x", "[]", "1"])
def test_headers_that_are_none_are_refused(settings, value):
    with pytest.raises(SettingsError, match="PREFECT_CLIENT_CUSTOM_HEADERS must be a JSON object"):
        command_environment(settings, {"PREFECT_CLIENT_CUSTOM_HEADERS": value}, "/tmp/home")

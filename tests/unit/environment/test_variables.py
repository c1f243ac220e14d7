"""Variables of the server that are not Prefect's: which are allowed, and that the machine gets them."""

from __future__ import annotations

import pytest

from helpers.environments import environment_file
from roost.environment.variable_rules import server_variables
from roost.plan.compare import differences
from roost.plan.machine_config import environment_variables, machine_config

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"


def faults_of(**variables):
    """Return what is wrong with these variables."""
    found = server_variables(environment_file(environment=variables).environment)
    return [message for _, message in found]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TZ", "Europe/Berlin"),
        ("HTTPS_PROXY", "http://proxy.internal:3128"),
        ("OTEL_SERVICE_NAME", "prefect"),
        ("SENTRY_DSN", "https://key@sentry.example/1"),
        ("no_proxy", "localhost"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("SECRETARY", "ada"),
    ],
)
def test_a_variable_reaches_the_machine(name, value):
    assert faults_of(**{name: value}) == []
    environment = environment_file(environment={name: value}).environment
    assert environment_variables(environment)[name] == value


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PREFECT_LOGGING_LEVEL", "write it under prefect.settings"),
        ("prefect_api_url", "write it under prefect.settings"),
        ("FLY_REGION", "is set by roost"),
        ("ROOST_IDLE_ACTION", "is set by roost"),
        ("LD_PRELOAD", "is set by roost"),
        ("PATH", "is set by roost"),
        ("SMTP_PASSWORD", "looks like a secret"),
        ("GITHUB_TOKEN", "looks like a secret"),
        ("A-B", "is not the name of a variable"),
        ("", "is not the name of a variable"),
    ],
)
def test_other_variables_are_refused_with_the_way_out(name, said):
    [fault] = faults_of(**{name: "value-that-is-not-shown"})

    assert said in fault
    assert "value-that-is-not-shown" not in fault


def test_a_name_is_a_variable_or_a_secret():
    file = environment_file(environment={"HOOK": "x"}, secrets=["HOOK"])

    assert [m for _, m in server_variables(file.environment)] == [
        "HOOK is also under secrets; keep one"
    ]


def test_a_nul_character_is_refused():
    assert "NUL" in faults_of(TZ="a\0b")[0]


def test_roost_s_own_variables_win():
    file = environment_file(environment={"TZ": "UTC"})

    assert environment_variables(file.environment)["ROOST_IDLE_ACTION"] == "suspend"


def test_a_variable_that_leaves_the_file_leaves_the_machine():
    before = machine_config(environment_file(environment={"TZ": "UTC"}), IMAGE, "app-1")
    after = machine_config(environment_file(), IMAGE, "app-1")

    assert "TZ" not in after["env"]
    assert [change.field for change in differences(before, after)] == ["env.TZ"]

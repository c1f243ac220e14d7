"""What an apply changes is named in one sentence, by names alone."""

from __future__ import annotations

import pytest

from helpers.applying import applied_fly, plan_and_apply
from helpers.environments import POSTGRES
from helpers.histories import desired_of
from helpers.releasing import setting
from roost.environment.model import AUTH_SECRET
from roost.plan.likely_causes import changed_by
from roost.plan.steps import Plan


def changed(before, after):
    """What is said of the plan from one to the other."""
    run = plan_and_apply(applied_fly(before), after)
    return changed_by(run.plan)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (
            setting("PREFECT_SERVER_API_BASE_PATH", "/x"),
            "This apply changed the setting PREFECT_SERVER_API_BASE_PATH.",
        ),
        (setting(version="3.9.1"), "This apply changed Prefect 3.8.8 to 3.9.1."),
        (
            setting("PREFECT_LOGGING_LEVEL", "DEBUG", machine={"memory_mb": 2048}),
            (
                "This apply changed the setting PREFECT_LOGGING_LEVEL; the machine's size "
                "(memory_mb 512 to 2048)."
            ),
        ),
        (
            desired_of(secrets=[AUTH_SECRET, "SLACK_HOOK"]),
            "This apply changed the secret SLACK_HOOK.",
        ),
        (
            setting(database={"backend": "sqlite", "volume_gb": 3}),
            "This apply changed the volume's size.",
        ),
        (
            setting(scaling={"autostop": "stop"}),
            "This apply changed the setting ROOST_IDLE_ACTION; the field services[0].autostop.",
        ),
        (desired_of(), ""),
    ],
)
def test_every_kind_of_change_is_named(after, told):
    assert changed(desired_of(), after) == told


def test_a_new_machine_is_named_with_the_settings_of_its_file():
    run = plan_and_apply(
        applied_fly(setting(**POSTGRES, scaling={"count": 0})),
        setting("PREFECT_LOGGING_LEVEL", "DEBUG", **POSTGRES),
    )

    assert changed_by(run.plan) == (
        "This apply changed the setting PREFECT_LOGGING_LEVEL; "
        "the secrets DATABASE_URL, PREFECT_SERVER_API_AUTH_STRING; the machine itself, which is new."
    )


def test_of_very_many_names_some_are_told():
    many = {f"PREFECT_NUMBER_{n:02}": "x" for n in range(20)}

    told = changed(desired_of(), desired_of(prefect={"version": "3.8.8", "settings": many}))

    assert told.startswith("This apply changed 20 settings (PREFECT_NUMBER_00, PREFECT_NUMBER_01")
    assert told.endswith("PREFECT_NUMBER_07, and others).")


def test_no_value_is_told():
    told = changed(desired_of(), setting("PREFECT_UI_URL", "https://somebody.example.com"))

    assert "somebody" not in told


def test_a_plan_without_steps_changes_nothing():
    assert changed_by(Plan("demo", "acme", (), (), (), {})) == ""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from image.machine import answers, free_port, machine_of, run_argv, started_s
from roost.environment.load import load_environment
from roost.plan.machine_config import environment_variables

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def staging():
    return load_environment("staging", PROJECT / "tests" / "examples")


def test_the_machine_has_the_variables_roost_gives_it(staging):
    machine = machine_of(staging, "image", "admin:secret")
    differing = dict(machine.env.items() - environment_variables(staging.environment).items())

    assert set(differing) == {
        "PREFECT_SERVER_API_PORT",
        "PREFECT_SERVER_API_AUTH_STRING",
        "ROOST_IDLE_ACTION",
    }
    assert set(environment_variables(staging.environment)) <= set(machine.env)


def test_the_machine_is_given_the_time_to_stop_that_fly_gives_it(staging):
    assert machine_of(staging, "image", "admin:secret").stop_limit_s == 20


def test_the_command_line_mounts_the_volume_and_ends_with_the_image_s_command(staging):
    machine = machine_of(staging, "image", "admin:secret")

    argv = run_argv(machine, "container-1", Path("/a/volume"), ["tini", "--", "python", "x.py"])

    assert "--volume=/a/volume:/data" in argv
    assert argv[-6:] == ["container-1", "--", "tini", "--", "python", "x.py"]


def test_a_process_started_between_the_boot_and_now():
    assert 0 < started_s(os.getpid()) <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_port_where_nobody_listens_does_not_answer():
    assert not answers(free_port())

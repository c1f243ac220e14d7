"""A machine that ends writes the reason into its metadata; if it cannot, it ends anyway."""

from __future__ import annotations

import pytest

from roost_machine import exit_reason
from roost_machine.exit_reason import write_exit_reason


def test_the_reason_is_left_with_the_version_that_it_is_about(machine_api):
    assert write_exit_reason("no lock", {**machine_api.environ, "FLY_MACHINE_VERSION": "01V"})

    assert machine_api.asked == [("POST", "/v1/apps/acme/machines/m1/metadata/roost_last_error")]
    assert machine_api.bodies == [
        {"value": '{"version": "01V", "error": "no lock"}'},
    ]


def test_a_refusal_is_no_trouble(machine_api, says):
    machine_api.answers = [says(403)]

    assert not write_exit_reason("no lock", machine_api.environ)


@pytest.mark.parametrize("fly", [{}, {"FLY_APP_NAME": "acme"}, {"FLY_MACHINE_ID": "m1"}])
def test_outside_of_fly_nobody_is_told(fly, machine_api):
    socket = {"FLY_API_SOCKET": machine_api.path}

    assert not write_exit_reason("no lock", {**socket, **fly})
    assert machine_api.asked == []


def test_a_socket_that_is_not_there_is_no_trouble(tmp_path):
    environ = {"FLY_APP_NAME": "a", "FLY_MACHINE_ID": "m", "FLY_API_SOCKET": str(tmp_path / "x")}

    assert not write_exit_reason("no lock", environ)


def test_an_answer_that_never_comes_is_not_waited_for(machine_api, monkeypatch):
    monkeypatch.setattr(exit_reason, "LIMIT_S", 0.1)
    machine_api.answers = [None]

    assert not write_exit_reason("no lock", machine_api.environ)

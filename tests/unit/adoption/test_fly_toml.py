"""An environment as a fly.toml: the same machine in the words of flyctl."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.environments import POSTGRES, PRIVATE, environment_file
from roost.adoption.fly_toml import fly_toml, toml_value

STOCK = "prefecthq/prefect:3.8.8-python3.12"
EXTEND = {"extend": {"at_percent": 80, "add_gb": 1, "limit_gb": 10}}


def exported(*parts, image=STOCK, **fields):
    return fly_toml(environment_file(*parts, **fields), image)


def test_it_names_app_image_service_check_mount_and_size():
    found = tomllib.loads(exported())

    assert (found["app"], found["primary_region"], found["build"]) == (
        "acme-prefect",
        "iad",
        {"image": STOCK},
    )
    service = found["http_service"]
    assert service["auto_stop_machines"] == "suspend"
    assert service["auto_start_machines"] is True
    assert service["concurrency"] == {"type": "requests", "soft_limit": 80, "hard_limit": 100}
    assert service["checks"] == [
        {
            "grace_period": "60s",
            "interval": "15s",
            "method": "GET",
            "timeout": "5s",
            "path": "/api/health",
        }
    ]
    assert found["mounts"][0]["destination"] == "/data"
    assert found["processes"] == {"app": "prefect server start --host 0.0.0.0"}
    assert "FLY_PROCESS_GROUP" not in found["env"]


def test_a_volume_that_grows_and_a_server_without_one():
    grows = tomllib.loads(exported(database={"backend": "sqlite", **EXTEND}))

    assert grows["mounts"][0]["auto_extend_size_limit"] == "10GB"
    assert "mounts" not in tomllib.loads(exported(POSTGRES))


@pytest.mark.parametrize(
    ("parts", "comment"),
    [
        ({}, "# - secrets, which `fly secrets set` sets: PREFECT_SERVER_API_AUTH_STRING"),
        (PRIVATE, "# - the app's addresses: private v6 (Flycast)"),
        ({"prefect": {"objects": "prefect/production.yaml"}}, "# - prefect.objects: prefect/"),
    ],
    ids=["secrets", "private", "objects"],
)
def test_what_fly_toml_cannot_say_is_a_comment(parts, comment):
    assert comment in exported(parts)


@given(st.text())
def test_any_text_is_read_back_as_it_was_written(text):
    kept = text.encode("utf-8", "replace").decode()

    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": kept}

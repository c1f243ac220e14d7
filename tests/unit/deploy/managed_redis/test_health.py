"""What a Redis says of itself, its configuration, and the variables of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.environment.redis import PASSWORD, PASSWORD_GRACE_S
from roost_redis import passwords, settings
from roost_redis.configuration import configuration
from roost_redis.errors import SettingsError
from roost_redis.health import judge
from roost_redis.settings import read_settings
from roost_server import redis_settings

MB = 1024 * 1024
GOOD = {
    "redis_version": "7.4.11",
    "used_memory": str(3 * MB),
    "maxmemory": str(128 * MB),
    "connected_clients": "34",
    "aof_last_write_status": "ok",
    "loading": "0",
}
MACHINE = {
    "ROOST_REDIS_DATA": "/data",
    "ROOST_REDIS_LISTEN": "::",
    "ROOST_REDIS_MAX_MB": "128",
    "REDIS_PASSWORD": "hunter2",
}


def test_a_healthy_redis_tells_its_memory_and_its_clients():
    health = judge(GOOD)

    assert (health.text, health.good) == ("Redis 7.4.11: 3 of 128 MB, 34 clients", True)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"loading": "1"}, "still reads its file"),
        ({"aof_last_write_status": "err"}, "refuses writes; raise redis.volume_gb"),
        ({"aof_last_write_status": ""}, "cannot write its file"),
        (
            {"used_memory": str(127 * MB)},
            "a full one refuses writes; raise redis.machine.memory_mb",
        ),
    ],
    ids=["loading", "volume", "no file", "memory"],
)
def test_a_redis_that_refuses_writes_or_loses_them_is_not_healthy(said, fault):
    health = judge({**GOOD, **said})

    assert not health.good
    assert fault in health.text


def test_its_configuration_keeps_every_key_and_holds_no_password():
    lines = configuration(read_settings(MACHINE), ["a" * 64, "b" * 64]).splitlines()

    assert "maxmemory-policy noeviction" in lines
    assert "maxmemory 128mb" in lines
    assert "appendonly yes" in lines
    assert f"user default on #{'a' * 64} #{'b' * 64} ~* &* +@all" in lines
    assert not [line for line in lines if "hunter2" in line]


def test_every_address_is_asked_on_this_machine():
    assert read_settings(MACHINE).address == ("::1", 6379)
    assert read_settings({**MACHINE, "ROOST_REDIS_LISTEN": "127.70.1.2"}).address[0] == "127.70.1.2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_PASSWORD", ""),
        ("ROOST_REDIS_DATA", "data"),
        ("ROOST_REDIS_DATA", '/da"ta'),
        ("ROOST_REDIS_LISTEN", "all"),
        ("ROOST_REDIS_MAX_MB", "0"),
        ("ROOST_HEALTH_PORT", "70000"),
    ],
    ids=str,
)
def test_a_variable_that_is_wrong_is_named(name, value):
    with pytest.raises(SettingsError, match=name) as told:
        read_settings({**MACHINE, name: value})

    assert "hunter2" not in str(told.value)
    assert "hunter2" not in repr(read_settings(MACHINE))


def test_the_launcher_and_the_server_agree_on_the_name_of_the_password():
    assert PASSWORD == settings.PASSWORD == redis_settings.PASSWORD
    assert PASSWORD_GRACE_S == passwords.GRACE_S
    assert Path("/data") == read_settings(MACHINE).data

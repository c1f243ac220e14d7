"""The settings of a machine that shares a Redis, and what is wrong with a Redis from its own words."""

from __future__ import annotations

import pytest

from roost_server.errors import BootError
from roost_server.redis_check import eviction_note, name_reason, redis_fault
from roost_server.redis_settings import is_replicated, redis_settings

URL = "rediss://default:hunter2@redis.example.com:6379/0"
MACHINE = {"ROOST_PROCESS": "api", "ROOST_REDIS_URL_VARIABLE": "REDIS_URL", "REDIS_URL": URL}


def test_every_part_of_prefect_that_shares_work_has_the_redis():
    settings = redis_settings(MACHINE)

    urls = [name for name, value in settings.items() if value == URL]
    assert sorted(urls) == [
        "PREFECT_REDIS_MESSAGING_URL",
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL",
        "PREFECT_SERVER_DOCKET_URL",
    ]
    assert sum(value.startswith("prefect_redis.") for value in settings.values()) == 5
    assert settings["PREFECT__SERVER_WEBSERVER_ONLY"] == "1"


def test_the_services_have_a_docket_that_no_machine_without_services_reads():
    services = redis_settings({**MACHINE, "ROOST_PROCESS": "services"})

    assert services["PREFECT_SERVER_DOCKET_NAME"] == "roost-services"
    assert "PREFECT__SERVER_WEBSERVER_ONLY" not in services
    assert "PREFECT_SERVER_DOCKET_NAME" not in redis_settings(MACHINE)


def test_a_server_of_one_machine_keeps_prefect_s_own_settings():
    assert not is_replicated({"REDIS_URL": URL})
    assert redis_settings({"REDIS_URL": URL}) == {}


def test_a_secret_without_a_value_is_named():
    with pytest.raises(BootError, match="the secret REDIS_URL has no value"):
        redis_settings({**MACHINE, "REDIS_URL": " "})


MANAGED = {
    "ROOST_PROCESS": "api",
    "ROOST_REDIS_ADDRESS": "acme-prefect-redis.internal:6379",
    "REDIS_PASSWORD": "p@ss/word",
}


def test_the_address_of_a_managed_redis_is_put_together_here():
    url = redis_settings(MANAGED)["PREFECT_REDIS_MESSAGING_URL"]

    assert url == "redis://default:p%40ss%2Fword@acme-prefect-redis.internal:6379/0"


def test_a_managed_redis_without_a_password_is_named():
    with pytest.raises(BootError, match="the secret REDIS_PASSWORD has no value"):
        redis_settings({**MANAGED, "REDIS_PASSWORD": ""})


@pytest.mark.parametrize(
    ("info", "fault"),
    [
        ({"cluster_enabled": 1}, "cluster"),
        ({"redis_mode": "cluster"}, "cluster"),
        ({"redis_version": "6.0.16"}, "6.2 or newer"),
        ({"redis_version": "7.0.15", "role": "slave"}, "read-only replica"),
        ({"redis_version": "6.2.1", "role": "master", "cluster_enabled": 0}, ""),
        ({"redis_version": "10.0.0"}, ""),
        ({}, ""),
    ],
)
def test_a_redis_that_can_never_serve_is_known_by_what_it_says(info, fault):
    found = redis_fault(info)

    assert fault in found
    assert bool(found) == bool(fault)


def test_a_redis_that_forgets_keys_is_noted():
    assert "noeviction" in eviction_note({"maxmemory_policy": "allkeys-lru"})
    assert eviction_note({"maxmemory_policy": "noeviction"}) == ""
    assert eviction_note({"maxmemory_policy": "volatile-lru"}) == ""


def test_why_there_is_no_connection_is_said_without_the_address():
    failure = ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] redis.example.com")

    assert name_reason(failure) == "its certificate is not trusted"
    assert name_reason(ConnectionError("Error 111 connecting to hunter2")) == "ConnectionError"

"""`topology: replicated`: what it needs, what it refuses, and the form of its Redis's address."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, REPLICATED, environment_data, environment_file
from roost.environment.flow_rules import all_findings
from roost.environment.model import AUTH_SECRET, Environment
from roost.environment.prefect_settings import OWN_DEPLOY, settings_of
from roost.environment.redis_address import password_fault, redis_fault
from roost.environment.schema import disagreements
from roost.environment.settings_rules import settings_findings
from roost.environment.units import to_apply

FLOWS = [{"name": "nightly", "path": "flows/nightly", "command": ["python", "serve.py"]}]
WINDOW = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}
SECRETS = REPLICATED["secrets"]


def faults(*parts, **fields):
    """Return the place and the message of what the rules find."""
    file = environment_file(*parts, **fields)
    return [(".".join(map(str, path)), message) for path, message in all_findings(file.environment)]


def setting_faults(name, value, *parts):
    environment = environment_file(*parts, prefect={"settings": {name: value}}).environment
    known = settings_of(OWN_DEPLOY, environment.prefect.version)
    return [message for _, message in settings_findings(environment, known)]


def test_a_replicated_server_is_valid_for_the_model_the_rules_and_the_schema():
    data = environment_data(REPLICATED)

    assert faults(REPLICATED) == []
    assert list(disagreements(data)) == []
    assert Environment.model_validate(data).replicated


@pytest.mark.parametrize(
    ("changed", "place", "message"),
    [
        ({"database": {"backend": "sqlite"}}, "topology", "cannot share SQLite"),
        ({"redis": None}, "topology", "through a Redis"),
        ({"secrets": [AUTH_SECRET, "DATABASE_URL"]}, "redis.url_secret", "not in secrets"),
        ({"redis": {"url_secret": "DATABASE_URL"}}, "redis.url_secret", "secret of its own"),
        (
            {"prefect": {"image": "prefecthq/prefect:3.9.1", "extras": []}},
            "prefect.image",
            "own image",
        ),
        ({"prefect": {"extras": ["prefect-aws"]}}, "prefect.extras", "./run lock --server"),
        ({"scaling": {"count": 1}}, "scaling.count", "2 or more"),
        ({"scaling": {"count": 0}}, "scaling.count", "2 or more"),
        ({"scaling": {"regions": ["fra", "ams"]}}, "scaling.regions", "does not have iad"),
        ({"scaling": {"regions": ["iad", "iad"]}}, "scaling.regions", "iad more than once"),
        ({"scaling": {"regions": ["iad", "fra", "ams"]}}, "scaling.regions", "set count to 3"),
        ({"scaling": {"autostop": "suspend"}}, "scaling.autostop", "does not sleep"),
        ({"scaling": {"windows": [WINDOW]}}, "scaling.windows", "needs no windows"),
        ({"flows": FLOWS}, "flows", "workers of your own"),
        ({"waker": {"app": "acme-waker"}}, "waker", "waker: null"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_several_machines_cannot_have_is_refused_with_the_next_step(changed, place, message):
    parts = {**REPLICATED, "database": changed.get("database", REPLICATED["database"])}

    found = faults(parts, **changed)

    assert [where for where, text in found if message in text] == [place]


def test_one_machine_is_in_one_region():
    [(where, message)] = [
        (where, text) for where, text in faults(scaling={"regions": ["iad"]}) if "region" in text
    ]

    assert (where, "set topology to replicated" in message) == ("scaling.regions", True)


def test_one_machine_has_no_use_for_a_redis_and_several_need_the_topology():
    redis = {"redis": {"url_secret": "REDIS_URL"}, "secrets": SECRETS}

    [(place, message)] = faults(POSTGRES, **redis)
    [(count, several)] = faults(POSTGRES, scaling={"count": 2})

    assert (place, count) == ("redis", "scaling.count")
    assert "one machine needs no Redis" in message
    assert "set topology to replicated" in several


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_SERVER_EVENTS_MESSAGING_BROKER", "prefect.server.utilities.messaging.memory"),
        ("PREFECT_SERVER_DOCKET_NAME", "other"),
        ("PREFECT_REDIS_MESSAGING_PUBLISHER_BATCH_SIZE", "1"),
    ],
    ids=lambda value: value.rsplit("_", 1)[-1],
)
def test_what_the_launcher_sets_for_redis_cannot_be_set_beside_it(name, value):
    [message] = setting_faults(name, value, REPLICATED)

    assert "decided by the section redis" in message


MANAGED = {"redis": {"managed": True}, "secrets": [*SECRETS[:2], "REDIS_PASSWORD"]}


def managed(**redis):
    """Return the parts of an environment whose Redis Roost deploys."""
    return {**REPLICATED, **MANAGED, "redis": {"managed": True, **redis}}


def test_a_managed_redis_is_valid_and_applied_before_its_server():
    file = environment_file(managed())

    assert faults(managed()) == []
    assert list(disagreements(environment_data(managed()))) == []
    assert [unit.name for unit in to_apply(file)] == ["staging.redis", "staging"]


@pytest.mark.parametrize(
    ("redis", "place", "message"),
    [
        ({"managed": True, "url_secret": "REDIS_URL"}, "redis.url_secret", "remove one of the two"),
        ({}, "redis", "{managed: true}"),
        ({"managed": False}, "redis", "{managed: true}"),
        ({"url_secret": "REDIS_URL", "volume_gb": 2}, "redis.volume_gb", "redis.managed to true"),
        ({"managed": True, "machine": {"memory_mb": 4096}}, "redis.machine.memory_mb", "256 to 2048"),
        ({"managed": True, "machine": {"memory_mb": 2048}}, "redis.volume_gb", "4 or more"),
    ],
    ids=["two", "none", "not managed", "elsewhere", "memory", "volume"],
)  # fmt: skip
def test_what_a_redis_cannot_be_is_refused_with_the_next_step(redis, place, message):
    parts = {**REPLICATED, "redis": redis, "secrets": [*SECRETS, "REDIS_PASSWORD"]}

    found = faults(parts)

    assert [where for where, text in found if message in text] == [place]


def test_a_managed_redis_needs_a_password_an_app_s_name_and_the_topology():
    [without] = faults({**managed(), "secrets": SECRETS[:2]})
    [long] = faults(managed(), app="a" * 60)
    [single] = faults(POSTGRES, **MANAGED)

    assert without[0] == "redis.managed"
    assert "add REDIS_PASSWORD to secrets" in without[1]
    assert "more than 63 characters" in long[1]
    assert "one machine needs no Redis" in single[1]


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("p" * 16, ""),
        ("p@ss: word/with %signs", ""),
        ("hunter2", "shorter than 16"),
        (" hunter2hunter2hunter2", "white space"),
        ("hunter2\nhunter2hunter2", "white space"),
        ('"hunter2hunter2hunter2"', "quotation mark"),
    ],
    ids=["good", "special", "short", "space", "line", "quoted"],
)
def test_a_password_that_cannot_work_is_named_without_any_part_of_it(password, fault):
    found = password_fault(password)

    assert fault in found
    assert bool(found) == bool(fault)
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "address",
    [
        "rediss://default:p%40ss@redis.example.com:6380/0",
        "redis://default:pass@acme-redis.internal:6379",
        "redis://acme-redis.flycast:6379/1",
        "redis://:pass@[fdaa:0:1::3]:6379/0",
        "redis://127.0.0.1:6379/0",
        "redis://10.0.0.5:6379/0",
    ],
)
def test_an_address_that_can_work_has_no_fault(address):
    assert redis_fault(address) == ""


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("redis://default:hunter2@redis.example.com:6379/0", "unencrypted"),
        ("redis://default:hunter2@8.8.8.8:6379/0", "unencrypted"),
        ("rediss://default:hunter2@a.example:6379,b.example:6379/0", "Redis Cluster"),
        ("rediss://clustercfg.hunter2.use1.cache.amazonaws.com:6379", "Redis Cluster"),
        ("redis+sentinel://s1:26379/hunter2", "Sentinels"),
        ("https://hunter2.upstash.io", "no address of a Redis"),
        ("hunter2", "no address of a Redis"),
        ("rediss://default:hunter2@/0", "no host"),
        ("rediss://default:PASSWORD@redis.example.com:6379", "placeholder"),
        ("rediss://default:hunter2@redis.example.com:port", "cannot be read"),
        ("rediss://default:hunter2@redis.example.com:6379/mymaster", "database's number"),
        (" rediss://default:hunter2@redis.example.com:6379", "white space"),
        ('"rediss://default:hunter2@redis.example.com:6379"', "quotation mark"),
    ],
)
def test_a_wrong_address_is_named_without_any_part_of_it(address, fault):
    found = redis_fault(address)

    assert fault in found
    assert "hunter2" not in found

"""Settings and secrets that Prefect would take another way than the file means, or not at all."""

from __future__ import annotations

import pytest
import yaml

from helpers.environments import MINIMAL, POSTGRES, environment_data
from roost.environment.load import load_files
from roost.environment.model import AUTH_SECRET

FOREIGN = {"prefect": {"image": "docker.io/acme/prefect:1"}}
URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


@pytest.fixture
def faults_of(tmp_path):
    """The faults of one environment, as LINE:COLUMN: MESSAGE."""

    def load(*parts, **fields):
        path = tmp_path / "staging.yaml"
        path.write_text(yaml.safe_dump(environment_data(*parts, **fields), sort_keys=False))
        return [str(f).removeprefix(f"{path}:") for f in load_files([path]).faults]

    return load


def setting(name, value="x"):
    return {"prefect": {"settings": {name: value}}}


def secrets(*names):
    return {"secrets": [*MINIMAL["secrets"], *names]}


# The database

PARTS = ("CONNECTION_URL", "DRIVER", "HOST", "PORT", "USER", "NAME", "PASSWORD")
WAYS = [
    *(f"PREFECT_{side}_DATABASE_{part}" for side in ("SERVER", "API") for part in PARTS),
    *("PREFECT_SERVER_DATABASE", "PREFECT_SERVER"),  # read as JSON
]


@pytest.mark.parametrize("version", ["3.8.8", "3.9.1"])
@pytest.mark.parametrize("name", WAYS)
def test_sqlite_and_any_way_by_which_prefect_takes_another_database_is_a_fault(
    faults_of, name, version
):
    wanted = {"prefect": {"version": version}}
    found = faults_of(wanted, secrets(name)) + faults_of(wanted, setting(name))

    assert len(found) == 2
    group = name in ("PREFECT_SERVER_DATABASE", "PREFECT_SERVER")
    told = "sets several settings at once" if group else "set database.backend: postgres and"
    assert all(f"{name} " in fault and told in fault for fault in found)


def test_a_secret_with_the_whole_address_is_the_one_that_url_secret_should_name(faults_of):
    name = "PREFECT_API_DATABASE_CONNECTION_URL"

    [found] = faults_of(secrets(name))

    assert f"database.url_secret: {name}, whose value is the whole address" in found


def test_prefect_reads_names_in_any_case_and_so_does_validate(faults_of):
    [found] = faults_of(secrets("prefect_api_database_connection_url"))

    assert "makes the server use another database" in found


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:////data/prefect.db", "sqlite:///x"])
def test_a_sqlite_file_is_roost_s_to_place(faults_of, url):
    [found] = faults_of(setting("PREFECT_API_DATABASE_CONNECTION_URL", url))

    assert "is decided by database: with backend sqlite the server keeps its data on the" in found


@pytest.mark.parametrize("name", WAYS[: 2 * len(PARTS)])
def test_with_postgres_the_address_comes_by_url_secret_alone(faults_of, name):
    more = {"secrets": [*POSTGRES["secrets"], name]}

    found = [*faults_of(POSTGRES, more), *faults_of(POSTGRES, setting(name))]

    assert len(found) == 2
    told = "is decided by database.url_secret: the server takes the whole address from the secret"
    assert all(f"{name} {told} DATABASE_URL; remove it" in fault for fault in found)


def test_a_url_secret_that_is_not_among_the_secrets_may_be_one_and_is_never_quoted(faults_of):
    database = {"backend": "postgres", "url_secret": "hunter2hunter2"}

    found = faults_of(setting("PREFECT_API_DATABASE_HOST"), database=database)

    assert len(found) == 2
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("name", ["DATABASE_URL", URL, "PREFECT_API_DATABASE_CONNECTION_URL"])
def test_url_secret_may_have_prefect_s_own_name(faults_of, name):
    database = {"backend": "postgres", "url_secret": name}

    assert faults_of(secrets(name), database=database) == []


def test_url_secret_may_not_be_what_sets_something_else(faults_of):
    name = "PREFECT_SERVER_DATABASE_HOST"

    found = faults_of(secrets(name), database={"backend": "postgres", "url_secret": name})

    assert "names a secret that sets something else in Prefect" in str(found)


def test_another_image_has_nobody_to_hand_the_address_on(faults_of):
    """It would run on a SQLite file in the machine, and lose it with the machine."""
    [found] = faults_of(POSTGRES, FOREIGN)
    database = {"backend": "postgres", "url_secret": URL}

    assert f"call the secret {URL}" in found
    assert faults_of(FOREIGN, secrets(URL), database=database) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_SERVER_DATABASE_ECHO", "true"),
        ("PREFECT_API_DATABASE_TIMEOUT", "30"),
        ("PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE", "3"),
        ("PREFECT_SQLALCHEMY_POOL_SIZE", "3"),
    ],
)
def test_how_the_database_is_used_may_be_set(faults_of, name, value):
    assert faults_of(setting(name, value)) == []


# What cannot work here


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PREFECT_API_SERVICES_SCHEDULER_ENABLED", "false", "switches off the scheduler"),
        ("PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED", "0", "switches off the scheduler"),
        ("PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED", "no", "stores task runs"),
        ("PREFECT_API_SERVICES_EVENT_PERSISTER_ENABLED", "off", "stores events"),
        ("PREFECT_SERVER_API_BASE_PATH", "/prefect/api", "moves the API away from /api"),
        ("PREFECT_UI_SERVE_BASE", "/prefect", "moves the pages away from /"),
        ("PREFECT_UI_ENABLED", "false", "is decided by access.ui, which is true or false"),
        ("PREFECT_SERVER_UI_ENABLED", "true", "is decided by access.ui, which is true or false"),
        ("PREFECT_UI_API_URL", "https://x/api", "is decided by roost: the UI asks the server"),
        ("PREFECT_MESSAGING_BROKER", "prefect_redis.messaging", "a module that a server of one"),
        ("PREFECT_SERVER_EVENTS_MESSAGING_CACHE", "prefect_redis.messaging", "a module that"),
        ("PREFECT_SERVER_EVENTS_CAUSAL_ORDERING", "prefect_redis.ordering", "a module that"),
        ("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect_redis.lease_storage", "a module"),
        (
            "PREFECT_REDIS_MESSAGING_HOST",
            "redis.internal",
            "belongs to prefect_redis, which the server",
        ),
        ("PREFECT_SERVER_DOCKET_URL", "redis://h:6379/1", "names a Redis"),
        ("PREFECT_API_URL", "https://x.fly.dev/api", "is for clients, such as workers and flows"),
        ("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true", "starts a server for clients that have"),
        ("PREFECT_TEST_MODE", "1", "is for Prefect's own tests"),
        ("PREFECT_PROFILES_PATH", "/x", "names a file of profiles, and the image has none"),
        ("PREFECT_PROFILE", "local", "names a profile, and the image has none"),
        ("PREFECT__SERVER_WEBSERVER_ONLY", "1", "is internal to Prefect"),
        ("PREFECT_SERVER_API_KEEPALIVE_TIMEOUT", "5", "has no effect: roost starts the HTTP"),
        ("PREFECT_SERVER_DATABASE_MIGRATE_ON_START", "false", "keeps the server from migrating"),
        ("PREFECT_LOGGING", '{"level": "INFO"}', "sets several settings at once; write each"),
    ],
)
def test_a_setting_that_cannot_work_here_is_refused_with_the_reason(faults_of, name, value, why):
    [found] = faults_of(setting(name, value))

    assert f"{name} {why}" in found or (name in found and why in found)
    assert "remove it" in found or "write each" in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED", "true"),
        ("PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED", "false"),
        ("PREFECT_SERVER_API_BASE_PATH", "/api"),
        ("PREFECT_UI_SERVE_BASE", "/"),
        ("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false"),
        (
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
            "prefect.server.concurrency.lease_storage.filesystem",
        ),
    ],
)
def test_the_same_settings_with_a_value_that_works_are_good(faults_of, name, value):
    assert faults_of(setting(name, value)) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("PREFECT_API_KEY", "is for clients"),
        ("PREFECT_API_AUTH_STRING", "is for clients"),
        ("PREFECT_REDIS_MESSAGING_URL", "belongs to prefect_redis"),
        ("PREFECT_SERVER_DOCKET_URL", "names a Redis"),
        ("PREFECT_HOME", "is decided by database"),
    ],
)
def test_a_secret_reaches_prefect_as_a_setting_and_is_judged_as_one(faults_of, name, why):
    source = {"env": "ACME_VALUE"}
    [found] = faults_of(secrets({"name": name, "from": source}))

    assert f"{name} {why}" in found


# What this version knows


def test_an_unknown_setting_is_a_fault_with_the_nearest_one(faults_of):
    [found] = faults_of(setting("PREFECT_LOGING_LEVEL", "INFO"))

    assert "Prefect 3.8.8 has no setting PREFECT_LOGING_LEVEL; did you mean " in found
    assert "did you mean PREFECT_LOGGING_LEVEL?" in found


def test_an_unknown_setting_that_is_near_none_leads_to_the_reference(faults_of):
    [found] = faults_of(setting("PREFECT_ZZZ"))

    assert (
        "has no setting PREFECT_ZZZ; remove it, or look it up at https://docs.prefect.io" in found
    )


def test_a_secret_that_looks_like_a_setting_is_one(faults_of):
    [found] = faults_of(secrets("PREFECT_SERVER_API_AUTH_STRNG"))

    assert f"did you mean {AUTH_SECRET}?" in found


def test_which_settings_there_are_is_said_by_the_version_of_the_file(faults_of):
    newer = setting("PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY", "true")

    assert faults_of(newer, {"prefect": {"version": "3.9.1"}}) == []
    [found] = faults_of(newer, {"prefect": {"version": "3.8.8"}})
    assert "Prefect 3.8.8 has no setting PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY" in found


def test_a_logger_s_level_is_a_setting_too(faults_of):
    assert faults_of(setting("PREFECT_LOGGING_LOGGERS_PREFECT_SERVER_LEVEL", "DEBUG")) == []


def test_another_image_may_hold_more_than_prefect_but_is_proved_by_the_same_gate(faults_of):
    assert faults_of(FOREIGN, setting("PREFECT_ZZZ")) == []
    assert faults_of(FOREIGN, setting("PREFECT_MESSAGING_BROKER", "prefect_redis.messaging")) == []
    assert faults_of(FOREIGN, setting("PREFECT_API_SERVICES_SCHEDULER_ENABLED", "false"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PREFECT_DEBUG_MODE", "maybe", "must be true or false"),
        ("PREFECT_SERVER_API_DEFAULT_LIMIT", "abc", "must be a whole number"),
        ("PREFECT_SERVER_DATABASE_TIMEOUT", "10s", "must be a number"),
        ("PREFECT_LOGGING_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ],
)
def test_a_value_of_another_type_is_a_fault_and_is_not_shown(faults_of, name, value, told):
    [found] = faults_of(setting(name, value))

    assert f"{name} {told}" in found
    assert value not in found


def test_many_unknown_settings_take_no_time(faults_of):
    """Near names are looked for among hundreds, for each of a few."""
    found = faults_of(
        prefect={"settings": {f"PREFECT_LOGGING_LEVEL_{n}": "x" for n in range(3000)}}
    )

    assert len(found) == 3000
    assert "did you mean" not in str(found)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "NO_PROXY", "TZ"])
def test_other_variables_go_under_environment(faults_of, name):
    [found] = faults_of(setting(name))

    assert f"{name} is not a Prefect setting" in found
    assert "Write it under environment; a secret one under secrets" in found
    assert faults_of(environment={name: "value"}) == []


def test_the_client_s_image_has_no_server(faults_of):
    [found] = faults_of(prefect={"image": "docker.io/prefecthq/prefect-client:3-latest"})

    assert "prefect-client has no server in it; name an image of prefecthq/prefect" in found


# More machines than one


@pytest.mark.parametrize("count", [2, 3])
def test_several_machines_on_postgres_are_refused_with_the_reason(faults_of, count):
    [found] = faults_of(POSTGRES, scaling={"count": count})

    assert "several machines need a Redis between them" in found
    assert "set topology to replicated and name a Redis under redis, or set count to 1" in found

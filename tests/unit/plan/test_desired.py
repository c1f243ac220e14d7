"""What an environment asks of Fly, to the field."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, PRIVATE, environment_file
from roost.environment.model import AUTH_SECRET
from roost.plan.desired_state import desired_state

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"


def config_of(*parts, **fields):
    [machine] = desired_state(environment_file(*parts, **fields), IMAGE).machines
    return machine.config


def test_the_config_is_whole():
    config = config_of()

    assert config["image"] == IMAGE
    assert config["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}
    assert config["mounts"] == [{"name": "data", "path": "/data"}]
    assert config["restart"] == {"policy": "on-failure", "max_retries": 5}
    assert config["stop_config"] == {"signal": "SIGTERM", "timeout": "20s"}


def test_flyctl_can_show_and_handle_what_we_make():
    metadata = config_of()["metadata"]

    assert metadata["fly_platform_version"] == "v2"
    assert metadata["fly_process_group"] == config_of()["env"]["FLY_PROCESS_GROUP"] == "app"
    assert config_of()["env"]["PRIMARY_REGION"] == "iad"


def test_metadata_says_whose_the_machine_is_and_what_it_runs():
    metadata = config_of()["metadata"]

    assert metadata["roost_environment"] == "staging"
    assert metadata["roost_slot"] == "app-1"
    assert metadata["roost_prefect_version"] == "3.8.8"


def test_performance_sizes_are_read_too():
    config = config_of(
        machine={"size": "performance-16x", "memory_mb": 32768}, scaling={"autostop": "stop"}
    )

    assert config["guest"] == {"cpu_kind": "performance", "cpus": 16, "memory_mb": 32768}


def test_the_service_is_checked_and_sleeps_as_asked():
    [service] = config_of(scaling={"autostop": "stop", "min_machines_running": 0})["services"]

    assert (service["autostop"], service["autostart"]) == ("stop", True)
    assert service["concurrency"] == {"type": "requests", "soft_limit": 80, "hard_limit": 100}
    assert service["checks"][0]["path"] == "/api/health"
    assert [port["port"] for port in service["ports"]] == [80, 443]
    assert service["ports"][0]["force_https"] is True


def test_a_private_server_speaks_plain_http_on_flycast():
    desired = desired_state(environment_file(PRIVATE), IMAGE)

    assert desired.ip_types == ("private_v6",)
    assert desired.machines[0].config["services"][0]["ports"] == [
        {"port": 80, "handlers": ["http"]}
    ]


def test_a_user_s_setting_never_overrides_what_roost_owns():
    """The rules refuse such a file; the machine would not start if one came through."""
    env = config_of(prefect={"settings": {"PREFECT_HOME": "/elsewhere"}})["env"]

    assert env["PREFECT_HOME"] == "/data"


def test_a_user_s_setting_overrides_what_is_only_our_taste():
    settings = {"PREFECT_SERVER_ANALYTICS_ENABLED": "true"}

    assert config_of(prefect={"settings": settings})["env"].items() >= settings.items()


def test_sleep_reaches_the_server_as_variables():
    env = config_of(scaling={"autostop": "suspend", "idle_after": "1m30s"})["env"]

    assert (env["ROOST_IDLE_ACTION"], env["ROOST_IDLE_AFTER_S"]) == ("suspend", "90")


def test_a_server_that_must_run_never_puts_itself_to_sleep():
    assert config_of(scaling={"min_machines_running": 1})["env"]["ROOST_IDLE_ACTION"] == "off"
    assert config_of(scaling={"autostop": "off"})["env"]["ROOST_IDLE_ACTION"] == "off"


def test_postgres_names_its_secret_and_mounts_nothing():
    desired = desired_state(environment_file(POSTGRES), IMAGE)
    config = desired.machines[0].config

    assert desired.volume is None
    assert "mounts" not in config
    assert config["env"]["ROOST_DATABASE_URL_VARIABLE"] == "DATABASE_URL"
    assert config["env"]["PREFECT_HOME"] == "/tmp/prefect"


@pytest.mark.parametrize(
    "image",
    [
        "prefecthq/prefect:3.8.8-python3.12",
        "docker.io/prefecthq/prefect:3-latest",
        "index.docker.io/prefecthq/prefect@sha256:0123",
    ],
)
def test_prefect_s_own_image_is_told_to_serve(image):
    """Its command is a shell, which ends at once on a machine."""
    [machine] = desired_state(environment_file(prefect={"image": image}), image).machines

    assert machine.config["init"] == {"cmd": ["prefect", "server", "start", "--host", "0.0.0.0"]}


@pytest.mark.parametrize("image", [IMAGE, "docker.io/acme/prefect:1", "prefecthq/prefect-other:1"])
def test_every_other_image_runs_its_own_command(image):
    [machine] = desired_state(environment_file(prefect={"image": image}), image).machines

    assert "init" not in machine.config


def test_machines_are_numbered_from_one():
    desired = desired_state(environment_file(POSTGRES, scaling={"count": 3}), IMAGE)

    assert [machine.name for machine in desired.machines] == ["app-1", "app-2", "app-3"]


def test_secrets_are_named_in_order_whatever_the_file_s():
    file = environment_file(secrets=["ZED", "PREFECT_SERVER_API_AUTH_STRING", "ALPHA"])

    assert desired_state(file, IMAGE).secrets == ("ALPHA", "PREFECT_SERVER_API_AUTH_STRING", "ZED")


def test_where_the_database_is_copied_to_reaches_the_machine_and_no_key_of_it():
    replicate = {"url": "s3://b-1/x", "endpoint": "https://e.com", "sync_interval": "10s"}
    keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]

    env = config_of(
        database={"backend": "sqlite", "replicate": replicate}, secrets=[AUTH_SECRET, *keys]
    )["env"]

    assert {name: value for name, value in env.items() if "REPLICA" in name} == {
        "ROOST_REPLICA_URL": "s3://b-1/x",
        "ROOST_REPLICA_ENDPOINT": "https://e.com",
        "ROOST_REPLICA_EVERY_S": "10",
    }
    assert not env.keys() & set(keys)


def test_where_nothing_is_copied_the_machine_is_told_nothing_of_it():
    assert not [name for name in config_of()["env"] if "REPLICA" in name]


OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize("autostop", ["suspend", "stop"])
def test_a_server_with_windows_sleeps_by_itself_alone(autostop):
    """Fly's proxy knows no windows, and still starts it."""
    night = {**OFFICE, "days": "daily", "from": "22:00", "to": "02:00"}
    config = config_of(scaling={"autostop": autostop, "windows": [OFFICE, night]})

    [service] = config["services"]
    assert (service["autostop"], service["autostart"]) == ("off", True)
    assert config["env"]["ROOST_IDLE_ACTION"] == autostop
    assert config["env"]["ROOST_WINDOWS"] == (
        "mon-fri 08:00-18:00 Europe/Berlin; daily 22:00-02:00 Europe/Berlin"
    )


def test_a_server_without_windows_has_no_variable_for_them():
    assert config_of(scaling={"windows": []}) == config_of()
    assert "ROOST_WINDOWS" not in config_of()["env"]


def test_an_existing_volume_port_and_check_are_kept_under_their_own_names():
    health = {"path": "/api/ready", "interval": "30s", "timeout": "4s", "grace_period": "2m"}
    sent = {**health, "grace_period": "120s"}
    file = environment_file(
        database={"backend": "sqlite", "volume_name": "prefect_data"},
        access={"internal_port": 8080},
        health=health,
    )

    desired = desired_state(file, IMAGE)

    config = desired.machines[0].config
    [check] = config["services"][0]["checks"]
    assert config["mounts"][0]["name"] == desired.volume.name == "prefect_data"
    assert config["services"][0]["internal_port"] == 8080
    assert config["env"]["PREFECT_SERVER_API_PORT"] == "8080"
    assert {name: check[name] for name in sent} == sent


def test_a_server_without_pages_is_told_so_and_another_is_sent_nothing():
    name = "PREFECT_SERVER_UI_ENABLED"

    def sent(**access):
        return desired_state(environment_file(access=access), IMAGE).machines[0].config["env"]

    assert sent(ui=False)[name] == "false"
    assert name not in sent(ui=True)
    assert sent() == sent(ui=True)

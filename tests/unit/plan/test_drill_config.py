"""A drill runs the server's own config on a copy of its data, and does nothing in the world."""

from __future__ import annotations

import pytest

from helpers.environments import PRIVATE
from helpers.histories import desired_of
from helpers.pretend_fly import applied
from roost.errors import UnappliableError
from roost.fly.models import App, IpAssignment, Machine, Organization, SecretInfo, Volume
from roost.plan.backups import Backup
from roost.plan.drill_config import (
    DRILL_KEY,
    VOLUME,
    check_can_drill,
    check_leftovers,
    drill_config,
    drill_volume,
    version_of,
)
from roost.plan.live import Live

DESIRED = desired_of(
    prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}},
    database={"backend": "sqlite", "replicate": "s3://bucket/acme"},
)
[RUNNING] = applied(DESIRED).machines
BACKUP = Backup("vs_1", "vol_1", "", 1, 3, "created", "", "", "")
APP = App(name="acme-prefect-drill", organization=Organization(slug="personal"))


def test_it_runs_what_runs_and_not_what_the_file_asks_for_next():
    upgraded = desired_of(prefect={"version": "3.9.0"})
    config = drill_config(upgraded, RUNNING, "vol_9")

    assert config["image"] == (RUNNING.config or {})["image"]
    assert config["env"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert version_of(upgraded, RUNNING) == "3.8.8"
    assert config["mounts"] == [{"name": VOLUME, "path": "/data", "volume": "vol_9"}]


def test_where_nothing_runs_it_is_what_the_file_asks_for():
    assert drill_config(DESIRED, None, "vol_9")["image"] == DESIRED.machines[0].config["image"]
    assert version_of(DESIRED, None) == "3.8.8"


def test_it_notifies_nobody_copies_nothing_to_the_bucket_and_does_not_sleep():
    given = (RUNNING.config or {})["env"]
    env = drill_config(DESIRED, RUNNING, "vol_9")["env"]

    assert any(name.startswith("ROOST_REPLICA") for name in given)
    assert not any(name.startswith("ROOST_REPLICA") for name in env)
    assert env["PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED"] == "false"
    assert env["PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED"] == "false"
    assert env["ROOST_IDLE_ACTION"] == "off"


def test_it_is_no_server_of_the_environment():
    config = drill_config(DESIRED, RUNNING, "vol_9")

    assert config["metadata"][DRILL_KEY] == DESIRED.app
    assert not any(key.startswith("roost_release") for key in config["metadata"])
    assert "roost_environment" not in config["metadata"]
    assert config["services"][0]["autostop"] == "off"


def test_its_volume_is_as_large_as_the_one_that_was_copied_and_leaves_no_copies():
    fields = drill_volume(DESIRED, BACKUP)

    assert (fields["name"], fields["snapshot_id"], fields["size_gb"]) == (VOLUME, "vs_1", 3)
    assert (fields["snapshot_retention"], fields["auto_backup_enabled"]) == (1, False)


def test_a_private_server_is_not_put_on_the_internet_for_it():
    with pytest.raises(UnappliableError, match="The server is private"):
        check_can_drill(desired_of(PRIVATE))

    check_can_drill(DESIRED)


@pytest.mark.parametrize(
    "live",
    [
        Live(),
        Live(volumes=(Volume(id="vol_9", name=VOLUME),)),
        Live(machines=(Machine(id="m9", config={"metadata": {DRILL_KEY: DESIRED.app}}),)),
    ],
)
def test_what_an_earlier_drill_left_may_be_removed(live):
    check_leftovers(DESIRED, APP, live)


@pytest.mark.parametrize(
    ("live", "owner"),
    [
        (Live(volumes=(Volume(id="vol_9", name="data"),)), "personal"),
        (Live(machines=(Machine(id="m9", config={"metadata": {}}),)), "personal"),
        (Live(machines=(Machine(id="m9", config={"metadata": {DRILL_KEY: "x"}}),)), "personal"),
        (Live(secrets=(SecretInfo(name="THEIRS"),)), "personal"),
        (Live(ips=(IpAssignment(ip="192.0.2.7", type="v4"),)), "personal"),
        (Live(), "somebody"),
    ],
)
def test_what_no_drill_made_is_left_alone(live, owner):
    app = replace_owner(APP, owner)

    with pytest.raises(UnappliableError, match="no drill created it"):
        check_leftovers(DESIRED, app, live)


def replace_owner(app, owner):
    """Return an app of another organization."""
    return app.model_copy(update={"organization": Organization(slug=owner)})

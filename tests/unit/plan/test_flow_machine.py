"""What a flow server asks of Fly: its machine, its image, and that it is no server with data."""

from __future__ import annotations

import json

import pytest

from helpers.environments import environment_file
from helpers.flow_folders import NIGHTLY
from helpers.plans import PRICES
from helpers.pretend_fly import applied
from roost.environment.flow_folder import FlowFolder
from roost.environment.flow_units import flow_units
from roost.plan.cost import cost_change, read_prices
from roost.plan.cost_table import cost_table
from roost.plan.desired import ENVIRONMENT_KEY, VERSION_KEY
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.image import flow_image_parts, image_reference, is_our_image, version_in
from roost.plan.live import Live
from roost.plan.releases import draft
from roost.plan.steps import Risk

IMAGE = "registry.fly.io/acme-prefect-nightly:prefect-{version}-0123456789ab"


def desired_of(version="3.8.8", *, server=None, **fields):
    """Return the desired state of a flow server whose lock has a version of Prefect."""
    (unit,) = flow_units(environment_file(**(server or {}), flows=[{**NIGHTLY, **fields}]))
    return desired_state(unit, IMAGE.format(version=version))


def config_of(*args, **fields):
    """Return the config of the machine of `desired_of`."""
    (machine,) = desired_of(*args, **fields).machines
    return machine.config


def test_it_is_a_private_app_without_a_volume():
    desired = desired_of()

    assert (desired.app, desired.environment) == ("acme-prefect-nightly", "staging.nightly")
    assert desired.ip_types == ("private_v6",)
    assert desired.volume is None
    assert desired.machines[0].config["metadata"][ENVIRONMENT_KEY] == "staging.nightly"
    assert desired.secrets == ("PREFECT_API_AUTH_STRING",)


@pytest.mark.parametrize(
    ("public", "url"),
    [(True, "https://acme-prefect.fly.dev/api"), (False, "http://acme-prefect.flycast/api")],
)
def test_it_reaches_its_server_where_that_answers(public, url):
    config = config_of(server={"access": {"public": public}})

    assert config["env"]["PREFECT_API_URL"] == url


def test_the_launcher_gets_the_entry():
    config = config_of(
        command=["prefect", "worker", "start"],
        stop_limit="90s",
        missed="skip",
        environment={"TZ": "Europe/Berlin"},
        autostop="stop",
    )
    variables = config["env"]

    assert json.loads(variables["ROOST_FLOW_COMMAND"]) == ["prefect", "worker", "start"]
    assert variables["ROOST_FLOW_ADDRESS"] == "http://acme-prefect-nightly.flycast"
    assert (variables["ROOST_STOP_LIMIT_S"], variables["ROOST_MISSED"]) == ("90", "skip")
    assert (variables["ROOST_IDLE_ACTION"], variables["TZ"]) == ("stop", "Europe/Berlin")
    # Fly ends the machine later than the launcher needs for its runs.
    assert config["stop_config"]["timeout"] == "150s"


def test_the_proxy_starts_it_and_never_stops_it():
    """The proxy sees no load while flows run."""
    (service,) = config_of()["services"]

    assert (service["autostart"], service["autostop"]) == (True, "off")


@pytest.mark.parametrize(("run", "awake"), [("on_demand", 0), ("always", 1)])
def test_its_cost_is_that_of_sleep_on_demand(run, awake):
    desired, prices = desired_of(run=run), read_prices(PRICES)

    assert desired.always_on == awake
    cost = cost_change(prices, desired, applied(desired)).now
    assert (cost.low == cost.high) is (run == "always")


def test_the_cost_table_has_its_lines():
    server = desired_state(environment_file(flows=[NIGHTLY]), "none")
    table = cost_table("staging", server, read_prices(PRICES), (0.0, 24.0), {"x": desired_of()})

    names = [line.name for line in table.lines]
    assert names[-2:] == ["x: machine, awake", "x: root file system, asleep"]
    alone = cost_table("staging", server, read_prices(PRICES), (0.0, 24.0))
    assert table.total.amounts[1] > alone.total.amounts[1]


@pytest.mark.parametrize(("before", "after"), [("3.8.8", "3.9.1"), ("3.9.1", "3.8.8")])
def test_another_prefect_is_a_restart_and_no_migration(before, after):
    """It has no database, so an older version can come back."""
    live = applied(desired_of(before))

    plan = diff(desired_of(after), live)

    assert plan.refusals == ()
    assert plan.risk is Risk.RESTART


def test_an_upgrade_of_the_server_changes_no_flow_server():
    live = applied(desired_of(server={"prefect": {"version": "3.8.8"}}))

    plan = diff(desired_of(server={"prefect": {"version": "3.9.1"}}), live)

    assert plan.steps == ()


def test_an_unchanged_flow_server_has_no_plan():
    assert diff(desired_of(), applied(desired_of())).steps == ()


def test_a_release_of_it_can_be_recorded():
    release = draft(desired_of("3.9.1"), Live(), ())

    assert release is not None
    assert release.prefect == "client 3.9.1"
    assert VERSION_KEY in release.config["metadata"]


def test_its_image_is_named_by_code_and_lock(tmp_path):
    base = tmp_path / "flows"
    (base / "roost_flows").mkdir(parents=True)
    files = ["flow_server.py", "roost_flows", "code"]
    (base / "image.json").write_text(json.dumps({"lock": "requirements.txt", "files": files}))
    for name in ("Dockerfile", "flow_server.py", "roost_flows/__init__.py"):
        (base / name).write_text("")

    def tag(lock=b"a", code=b"b"):
        parts = flow_image_parts(tmp_path, FlowFolder(lock, "3.9.1", (("serve.py", code),)))
        assert {"code/serve.py", "requirements.txt", "Dockerfile"} <= {name for name, _ in parts}
        return image_reference("acme-prefect-nightly", "3.9.1", parts)

    assert is_our_image(tag())
    assert version_in(tag()) == "3.9.1"
    assert len({tag(), tag(lock=b"c"), tag(code=b"c")}) == 3


def test_nothing_of_the_servers_secrets_is_in_it():
    secrets = ["PREFECT_SERVER_API_AUTH_STRING", "AWS_KEY_OF_ACME"]
    desired = desired_of(server={"secrets": secrets}, secrets=["HOOK"])

    assert desired.secrets == ("HOOK", "PREFECT_API_AUTH_STRING")
    assert "AWS_KEY_OF_ACME" not in json.dumps(desired.machines[0].config)

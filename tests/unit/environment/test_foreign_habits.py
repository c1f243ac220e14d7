"""What people bring from fly.toml and other hosts: each gets the sentence that leads on."""

from __future__ import annotations

import pytest

from localfly.config.regions import REGIONS as PLACES
from roost.environment.foreign_keys import FOREIGN_KEYS
from roost.environment.load import load_environment, load_files
from roost.environment.messages import known_keys
from roost.environment.regions import CLOSED_REGIONS, REGIONS

GOOD = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with one good environment."""
    (tmp_path / "staging.yaml").write_text(GOOD)
    return tmp_path


def faults_in(folder, text=GOOD):
    (folder / "staging.yaml").write_text(text)
    return [fault.message for fault in load_files([folder]).faults]


@pytest.mark.parametrize("key", FOREIGN_KEYS)
def test_a_key_of_another_tool_is_told_with_what_to_write_here(folder, key):
    [found] = faults_in(folder, f"{GOOD}{key}: x\n")

    assert found == f"there is no key {key} here: {FOREIGN_KEYS[key]}"
    assert key not in known_keys(())


def test_a_closed_region_is_told_with_the_nearest_by_geography(folder):
    [found] = faults_in(folder, GOOD.replace("iad", "sea"))

    assert found.endswith("found sea (Seattle, which Fly has closed); the nearest is sjc")


@pytest.mark.parametrize("region", ["ida", "xyz", "us-east-1"])
def test_a_region_that_never_was_gets_the_list_and_no_guess(folder, region):
    [found] = faults_in(folder, GOOD.replace("iad", region))

    assert found == f"region must be one of {', '.join(REGIONS)}, found {region}"


def test_what_stands_instead_of_a_closed_region_is_open():
    codes = {place.code for place in PLACES}

    assert {nearest for _, nearest in CLOSED_REGIONS.values()} <= codes
    assert not set(CLOSED_REGIONS) & codes


@pytest.mark.parametrize("place", ["team/prod.yaml", "a/b/prod.yml"])
def test_an_environment_in_a_subfolder_is_a_fault_and_not_passed_over(folder, place):
    path = folder / place
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)

    [fault] = load_files([folder]).faults

    assert fault.path == str(path)
    assert "is in the folder" in fault.message
    assert "move it there" in fault.message
    assert load_environment("staging", folder).name == "staging"


def test_other_files_in_a_subfolder_are_nobody_s_business(folder):
    (folder / "secrets").mkdir()
    (folder / "secrets" / "production.sops.yaml").write_text("HOOK: x\nsops: {}\n")
    (folder / ".old").mkdir()
    (folder / ".old" / "prod.yaml").write_text(GOOD)
    (folder / "loop").symlink_to(folder)

    assert load_files([folder]).faults == ()

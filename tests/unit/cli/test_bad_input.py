"""Bad input ends every verb with 3 before anything is called, and says what to mend."""

from __future__ import annotations

import json
import socket

import pytest
import yaml

from helpers.environments import environment_data

ENVIRONMENT_VERBS = ["show", "plan", "apply", "smoke", "status", "sleep", "wake", "up"]
FLY_VERBS = [verb for verb in ENVIRONMENT_VERBS if verb not in {"show", "up"}]
GOOD = yaml.safe_dump(environment_data(), sort_keys=False)
OTHER = GOOD.replace("acme-prefect", "acme-other")
BAD = OTHER + "regoin: ams\n"
OTHER_NAMES = [
    "nope",
    "",
    ".",
    "..",
    "../good",
    "_defaults",
    "a" * 300,
    "\udcff",
    "\x1b[2J",
    "good/",
]
# `status` without a name shows all environments.
OTHER_CALLS = [
    (verb, name)
    for verb in ENVIRONMENT_VERBS
    for name in OTHER_NAMES
    if (verb, name) != ("status", "")
]


@pytest.fixture
def api(monkeypatch):
    """A place where Fly's API would be, at which nobody may call."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        monkeypatch.setenv("FLY_FLAPS_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture
def good(tmp_path, roost, monkeypatch, api):  # noqa: ARG001 - after `roost`, which empties the environment
    """A good environment, and a token."""
    (tmp_path / "good.yaml").write_text(GOOD)
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")


def assert_told(said, word):
    """One line with the machine word, on standard error only, that any terminal survives."""
    assert (said.code, said.out) == (3, "")
    assert said.err.splitlines()[-1].startswith(f"roost: error [{word}]: ")
    assert said.err.replace("\n", "").isprintable()


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("verb", ENVIRONMENT_VERBS)
def test_every_verb_refuses_a_bad_file(roost, tmp_path, verb):
    (tmp_path / "bad.yaml").write_text(BAD)

    said = roost(verb, "bad")

    assert_told(said, "invalid-files")
    assert said.err.startswith(f"{tmp_path / 'bad.yaml'}:")


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize(
    ("verb", "name"), OTHER_CALLS, ids=lambda word: ascii(word)[:20].strip("'")
)
def test_every_verb_refuses_a_name_that_is_no_environment_and_gives_those_that_are(
    roost, verb, name
):
    said = roost(verb, "--", name)

    assert_told(said, "unknown-environment")
    assert said.err.endswith("There are: good.\n")


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("verb", FLY_VERBS)
def test_a_missing_token_is_told_with_how_to_make_one(roost, monkeypatch, verb):
    monkeypatch.delenv("FLY_API_TOKEN")

    said = roost(verb, "good")

    assert_told(said, "token-missing")
    assert "fly tokens create" in said.err
    assert "--local" in said.err


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_prefect_version_without_a_lock_is_told_with_those_that_have_one(roost, tmp_path, verb):
    (tmp_path / "new.yaml").write_text(OTHER.replace("3.8.8", "3.99.0"))

    said = roost(verb, "new")

    assert_told(said, "invalid-files")
    assert "3.8.8" in said.err
    assert "./run lock 3.99.0" in said.err


@pytest.mark.usefixtures("good")
def test_a_server_that_never_sleeps_is_not_put_to_sleep(roost, tmp_path):
    (tmp_path / "awake.yaml").write_text(OTHER + "scaling: {autostop: 'off'}\n")

    assert_told(roost("sleep", "awake"), "cannot-apply")


@pytest.mark.parametrize("url", ["http://", "https:///x"])
def test_an_address_that_is_none_is_told(roost, url):
    assert_told(roost("smoke", url), "usage")


def test_two_files_with_one_app_are_both_named(roost, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(GOOD)

    said = roost("validate")

    assert_told(said, "invalid-files")
    assert "one.yaml" in said.err
    assert "two.yaml" in said.err


def test_nothing_to_validate_is_no_success(roost, tmp_path):
    assert_told(roost("validate"), "usage")
    assert_told(roost("validate", tmp_path / "nowhere.yaml"), "invalid-files")
    assert_told(roost("validate", tmp_path / ("a" * 300) / "x.yaml"), "invalid-files")


@pytest.mark.usefixtures("good")
def test_faults_as_json_are_one_object_and_still_end_with_3(roost, tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)

    said = roost("validate", "--json")

    document = json.loads(said.out)
    assert (said.code, said.err) == (3, "")
    assert document["valid"] == ["good"]
    [fault] = document["faults"]
    assert (fault["path"], fault["column"]) == (str(tmp_path / "bad.yaml"), 1)
    assert "did you mean region?" in fault["message"]

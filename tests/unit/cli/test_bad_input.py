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
BOMB = "".join(f"x-{n}: &n{n} [{', '.join([f'*n{n - 1}'] * 9 or ['x'])}]\n" for n in range(1, 9))

BAD_FILES = {
    "unknown key": GOOD + "regoin: ams\n",
    "duplicate key": GOOD + "region: ams\n",
    "wrong unit": GOOD + "machine: {memory_mb: 1GB}\n",
    "tab": GOOD + "scaling:\n\tcount: 1\n",
    "empty": "",
    "merge that hides": "x-a: &a {region: ams}\n<<: *a\n" + GOOD,
    "too large": GOOD + "#" * 10_000_000,
    "alias bomb": "x-0: &n0 [x]\n" + BOMB + GOOD,
    "refused by Fly": GOOD.replace("acme-prefect", "Acme_Prefect"),
    "two machines": GOOD + "scaling: {count: 2}\n",
    "not UTF-8": GOOD.encode() + b"organization: caf\xe9\n",
    "NUL": GOOD + "organization: a\0b\n",
    "control character": GOOD + "organization: a\x1b[2Jb\n",
    "reading direction": GOOD + "organization: a\u202eb\n",
    "two documents": GOOD + "---\n" + GOOD,
    "object tag": GOOD + "x-a: !!python/object/apply:os.system [id]\n",
    "deep": GOOD + "x-a: " + "[" * 2000,
    "number": GOOD.replace("acme-prefect", "5"),
    "region no": GOOD.replace("region: iad", "region: no"),
    "version 3.10": GOOD.replace("version: 3.8.8", "version: 3.10"),
}
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
@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("verb", ["validate", "plan", "apply"])
def test_a_bad_file_is_told_with_its_place(roost, tmp_path, verb, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    said = roost(verb, path if verb == "validate" else "bad")

    assert_told(said, "invalid-files")
    place, _, fault = said.err.partition(": ")
    path_there, line, column = place.rsplit(":", 2)
    assert (path_there, line.isdecimal(), column.isdecimal()) == (str(path), True, True)
    assert fault


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("verb", ENVIRONMENT_VERBS)
def test_every_verb_refuses_a_bad_file(roost, tmp_path, verb):
    (tmp_path / "bad.yaml").write_text(BAD_FILES["unknown key"])

    assert_told(roost(verb, "bad"), "invalid-files")


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", OTHER_NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("verb", ENVIRONMENT_VERBS)
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
    (tmp_path / "new.yaml").write_text(GOOD.replace("3.8.8", "3.99.0"))

    said = roost(verb, "new")

    assert_told(said, "lock-missing")
    assert "3.8.8" in said.err
    assert "./run lock 3.99.0" in said.err


@pytest.mark.usefixtures("good")
def test_a_server_that_never_sleeps_is_not_put_to_sleep(roost, tmp_path):
    (tmp_path / "awake.yaml").write_text(GOOD + "scaling: {autostop: 'off'}\n")

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
    (tmp_path / "bad.yaml").write_text(BAD_FILES["unknown key"])

    said = roost("validate", "--json")

    document = json.loads(said.out)
    assert (said.code, said.err) == (3, "")
    assert document["valid"] == ["good"]
    [fault] = document["faults"]
    assert (fault["path"], fault["column"]) == (str(tmp_path / "bad.yaml"), 1)
    assert "did you mean region?" in fault["message"]

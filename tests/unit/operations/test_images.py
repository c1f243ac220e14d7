"""image: what is printed, what is built and pushed, and who never sees the token."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from pathlib import Path

import pytest
import stamina

from helpers.fake_fly import FakeFly
from helpers.fake_registry import DIGEST, FakeDocker, fake_registry
from helpers.server_locks import REDIS, lock_text, write_server_lock
from roost.fly.registry import Registry
from roost.operations import docker as docker_module

TOKEN = "fm2_lJPECAAAAAAAAsecret,fm2_discharge"
REFERENCE = re.compile(r"registry\.fly\.io/acme-prefect:prefect-3\.8\.8-[0-9a-f]{12}")
BUILD = ["buildx imagetools", "buildx build", "context inspect", "login", "push"]


@pytest.fixture
def registry(roost, clients, monkeypatch):  # noqa: ARG001 - which clears the environment first
    """The registry of the app, asked for real."""
    clients.use(registry=Registry)
    monkeypatch.setattr(docker_module, "PAUSE_S", 0.01)
    monkeypatch.setenv("FLY_API_TOKEN", f"FlyV1 {TOKEN}")
    with fake_registry(TOKEN) as found, stamina.set_testing(True, attempts=3, cap=True):
        monkeypatch.setenv("FLY_REGISTRY_HOST", found.host)
        yield found


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """The program; values of secrets are in the environment beside it."""
    found = FakeDocker(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(found.folder))
    monkeypatch.setenv("SLACK_HOOK", "https://hooks.example/s3cret")
    return found


@pytest.fixture
def app(fly):
    """The app is there."""
    fly.organization = "personal"


@pytest.fixture
def no_docker(tmp_path, monkeypatch):
    """A computer without it."""
    monkeypatch.setenv("PATH", str(tmp_path))


def tag(roost):
    return roost("image", "staging").out.strip().partition("/")[2]


def assert_hidden(docker, said=None):
    """The token is in no argument and no environment, and nothing shows it."""
    for call in docker.calls:
        for piece in TOKEN.split(","):
            assert piece not in json.dumps([call["argv"], call["env"]])
        assert "s3cret" not in json.dumps(call)
    if said:
        assert not any(piece in said.out + said.err for piece in TOKEN.split(","))


def test_without_push_the_reference_is_printed_and_nothing_is_asked(roost, registry, docker, fly):
    said = roost("image", "staging")

    assert (said.code, said.err) == (0, "")
    assert REFERENCE.fullmatch(said.out.strip())
    assert json.loads(roost("image", "staging", "--json").out) == {
        "environment": "staging",
        "app": "acme-prefect",
        "image": said.out.strip(),
        "ours": True,
        "state": None,
    }
    assert (registry.asked, docker.calls, fly.asked) == ([], [], [])


@pytest.mark.usefixtures("app", "no_docker")
@pytest.mark.parametrize("bearer", [False, True])
def test_what_the_registry_has_is_not_built_again(roost, registry, bearer):
    registry.bearer = bearer
    registry.tags.add(tag(roost))

    said = roost("image", "staging", "--push")

    assert said.code == 0
    assert REFERENCE.fullmatch(said.out.strip())
    assert said.err == "The registry has it already: nothing is built.\n"
    assert len(registry.asked) == (3 if bearer else 1)


@pytest.mark.usefixtures("app")
def test_what_it_has_not_is_built_from_deploy_and_pushed_and_once_only(roost, registry, docker):
    said = roost("image", "staging", "--push", "--json")

    assert (said.code, json.loads(said.out)["state"]) == (0, "built")
    assert docker.names == BUILD
    build = docker.calls[1]["argv"]
    assert build[-3:-1] == ["--tag", f"{registry.host}/{tag(roost)}"]
    assert build[-1] == str(Path(__file__).parents[3] / "deploy")
    assert "PREFECT_VERSION=3.8.8" in build
    assert f"BASE=docker.io/library/python:3.13-slim-trixie@{DIGEST}" in build
    assert registry.tags == {tag(roost)}
    assert "#1 [1/7] FROM base" in said.err

    assert json.loads(roost("image", "staging", "--push", "--json").out)["state"] == "there"
    assert len(docker.calls) == len(BUILD)


@pytest.mark.usefixtures("app")
def test_extras_are_built_from_a_copy_of_deploy_with_their_lock(
    roost, rewrite, registry, docker, tmp_path
):
    plain = tag(roost)
    rewrite(REDIS)
    write_server_lock(tmp_path, "staging", lock_text("prefect-redis"))

    said = roost("image", "staging", "--push")

    assert (said.code, docker.names) == (0, BUILD)
    assert registry.tags == {tag(roost)} != {plain}
    assert docker.locks == {"prefect-3.8.8.txt": lock_text("prefect-redis")}
    assert not Path(docker.calls[1]["argv"][-1]).exists()
    assert "Building the image of Prefect 3.8.8 with the extras of staging" in said.err


def test_the_same_lock_is_the_same_image_for_each_environment(roost, rewrite, tmp_path):
    rewrite(REDIS)
    write_server_lock(tmp_path, "staging", lock_text("prefect-redis"))
    first = tag(roost)
    (tmp_path / "staging.yaml").rename(tmp_path / "production.yaml")
    (tmp_path / "locks/staging.txt").rename(tmp_path / "locks/production.txt")

    assert roost("image", "production").out.strip().partition("/")[2] == first


def test_a_lock_that_does_not_fit_stops_a_plan_before_anything_is_asked(
    roost, rewrite, tmp_path, fly
):
    rewrite(REDIS)
    write_server_lock(tmp_path, "staging", lock_text("prefect-redis", prefect="3.9.1"))

    said = roost("plan", "staging")

    assert (said.code, fly.asked) == (3, [])
    assert "pins prefect 3.9.1, and prefect.version is 3.8.8" in said.err
    assert "write it: `./run lock --server staging`" in said.err


@pytest.mark.usefixtures("app", "registry")
def test_the_token_reaches_docker_on_standard_input_alone_and_its_login_is_removed(roost, docker):
    said = roost("image", "staging", "--push")

    given = {name: call["stdin"] for name, call in zip(docker.names, docker.calls, strict=True)}
    assert {name for name, text in given.items() if text} == {"login"}
    assert given["login"] == TOKEN
    assert_hidden(docker, said)
    folders = {call["env"].get("DOCKER_CONFIG") for call in docker.calls[-2:]}
    [folder] = folders
    assert not Path(folder).exists()
    assert docker.calls[-1]["env"]["DOCKER_HOST"] == "unix:///run/fake-docker.sock"
    allowed = docker_module._PASSED_ON | {"LC_CTYPE"}  # which Python sets for itself
    assert all(call["env"].keys() <= allowed for call in docker.calls)


@pytest.mark.usefixtures("app")
def test_a_push_that_fails_once_is_tried_again(roost, registry, docker):
    docker.fail("push", once=True)

    said = roost("image", "staging", "--push")

    assert said.code == 0
    assert docker.names == [*BUILD, "push"]
    assert registry.tags == {tag(roost)}


@pytest.mark.usefixtures("app", "registry")
@pytest.mark.parametrize(
    ("name", "doing"),
    [("buildx build", "build the image"), ("login", "log in"), ("push", "push the image")],
)
def test_what_docker_fails_at_is_told_with_what_it_said_but_the_token(roost, docker, name, doing):
    docker.fail(name)

    said = roost("image", "staging", "--push")

    assert (said.code, said.out) == (1, "")
    assert f"error [image]: docker could not {doing}: it ended with 1. See its output" in said.err
    assert f"no luck with {name}" in said.err
    assert_hidden(docker, said)
    configs = {call["env"].get("DOCKER_CONFIG") for call in docker.calls} - {None}
    assert not any(Path(config).exists() for config in configs)


@pytest.mark.usefixtures("app", "registry")
def test_a_base_whose_digest_is_not_to_be_had_is_built_from_its_tag(roost, docker):
    docker.fail("buildx imagetools", "context inspect")

    assert roost("image", "staging", "--push").code == 0
    assert not [word for word in docker.calls[1]["argv"] if word.startswith("BASE=")]
    assert "DOCKER_HOST" not in docker.calls[-1]["env"]


@pytest.mark.usefixtures("app", "docker")
def test_a_push_that_the_registry_forgets_is_told(roost, registry):
    registry.forgets = True

    said = roost("image", "staging", "--push")

    assert said.code == 1
    assert "docker pushed the image, but the registry does not have it." in said.err


def test_an_app_that_is_not_there_has_no_registry(roost, registry, docker):
    said = roost("image", "staging", "--push", "--json")

    assert (said.code, json.loads(said.out)["state"]) == (0, "no-app")
    assert "The app acme-prefect does not exist yet, so it has no registry" in said.err
    assert (registry.asked, docker.calls) == ([], [])


@pytest.mark.usefixtures("app", "registry", "no_docker")
def test_without_docker_there_is_no_building(roost):
    said = roost("image", "staging", "--push")

    assert said.code == 3
    assert "error [cannot-apply]: staging: The image has to be built, and there is no" in said.err


def test_an_image_of_its_own_is_left_alone(roost, rewrite, registry, docker, fly):
    rewrite(prefect={"version": "3.8.8", "image": "prefecthq/prefect:3.8.8-python3.13"})

    said = roost("image", "staging", "--push", "--json")

    assert said.code == 0
    document = json.loads(said.out)
    assert document["image"] == "prefecthq/prefect:3.8.8-python3.13"
    assert (document["ours"], document["state"]) == (False, "foreign")
    assert (registry.asked, docker.calls, fly.asked) == ([], [], [])


# Trouble with the registry


@pytest.mark.usefixtures("app", "no_docker")
@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ([401], "error [fly-unauthorized]: {host} HEAD /v2/acme-prefect/manifests/prefect-3.8.8-"),
        ([403], "The registry answered 403. The token does not reach this app."),
        ([418], "error [fly-error]: {host} HEAD /v2/acme-prefect/manifests/prefect-3.8.8-"),
        ([503] * 9, "The registry answered 503. Nothing was changed. Run the same command again"),
        ([429] * 9, "error [fly-rate-limited]: {host} HEAD /v2/acme-prefect/manifests/prefect-"),
    ],
)
def test_what_the_registry_refuses_is_told_in_a_sentence(roost, registry, trouble, told):
    registry.trouble = trouble

    said = roost("image", "staging", "--push")

    assert (said.code, said.out) == (1, "")
    assert told.format(host=registry.host) in said.err


@pytest.mark.usefixtures("app", "no_docker")
def test_a_registry_that_stumbles_once_is_asked_again(roost, registry):
    registry.tags.add(tag(roost))
    registry.trouble = [502]

    assert roost("image", "staging", "--push").code == 0
    assert len(registry.asked) == 2


@pytest.mark.usefixtures("app", "no_docker")
def test_a_registry_that_does_not_answer_is_told_in_time(roost, registry, clients):
    clients.use(registry=partial(Registry, deadline_s=0.3))
    registry.trouble = [0] * 9

    said = roost("image", "staging", "--push")

    assert said.code == 1
    assert "error [fly-unavailable]: " in said.err
    assert "The registry did not answer in time." in said.err


@pytest.mark.usefixtures("app", "no_docker")
def test_a_registry_that_is_not_there_is_told(roost, registry, monkeypatch):
    monkeypatch.setenv("FLY_REGISTRY_HOST", "127.0.0.1:1")

    said = roost("image", "staging", "--push")

    assert said.code == 1
    assert "The registry could not be reached (ConnectError)." in said.err
    assert registry.asked == []


@pytest.mark.usefixtures("app", "no_docker")
@pytest.mark.parametrize(
    "realm", ["http://evil.example/token", "https://127.0.0.1/token", "no url"]
)
def test_the_token_goes_to_no_other_place_that_the_registry_names(roost, registry, realm):
    registry.bearer, registry.realm = True, realm

    said = roost("image", "staging", "--push")

    assert said.code == 1
    assert "error [fly-answer]: " in said.err
    assert "it was not sent there" in said.err
    assert len(registry.asked) == 1


@pytest.mark.usefixtures("app", "registry")
@pytest.mark.parametrize("host", ["https://registry.fly.io", "a b", "registry.fly.io/x", "u@h"])
def test_a_host_that_is_none_is_told(roost, monkeypatch, host):
    monkeypatch.setenv("FLY_REGISTRY_HOST", host)

    said = roost("image", "staging", "--push")

    assert said.code == 3
    assert "FLY_REGISTRY_HOST: The address of the registry is not a host name." in said.err


# As a part of apply


def test_a_first_apply_makes_the_app_then_its_image_then_its_machine(
    roost, registry, docker, monkeypatch
):
    seen = []
    create = FakeFly._post_machines
    monkeypatch.setattr(
        FakeFly,
        "_post_machines",
        lambda self, ask: (seen.append(len(docker.calls)), create(self, ask))[1],
    )

    said = roost("apply", "staging")

    assert said.code == 0, said.err
    assert docker.names == BUILD
    assert seen == [len(BUILD)]
    assert registry.tags == {tag(roost)}
    assert said.err.index("create the app") < said.err.index("Building the image of Prefect")
    assert said.err.index("Building the image") < said.err.rindex("create the machine")
    assert_hidden(docker, said)


def test_a_second_apply_asks_the_registry_only_if_a_machine_changes(
    roost, rewrite, registry, docker, fly
):
    roost("apply", "staging")
    registry.asked.clear()

    assert roost("apply", "staging").code == 0
    assert registry.asked == []

    rewrite(machine={"memory_mb": 1024})
    assert roost("apply", "staging").code == 0
    assert [ask.partition(" ")[0] for ask in registry.asked] == ["HEAD"]
    assert docker.names == BUILD
    assert fly.machines


@pytest.mark.usefixtures("registry")
def test_without_docker_an_apply_refuses_before_it_changes_anything(roost, fly, docker):
    (docker.folder / "docker").unlink()

    said = roost("apply", "staging")

    assert said.code == 3
    assert "there is no docker here to build it with" in said.err
    assert "Nothing was changed." in said.err
    assert fly.changes == []


@pytest.mark.usefixtures("app", "registry")
def test_a_build_that_fails_stops_an_apply_before_it_changes_anything(roost, fly, docker):
    docker.fail("buildx build")

    said = roost("apply", "staging")

    assert said.code == 1
    assert "error [image]: docker could not build the image" in said.err
    assert fly.changes == []


@pytest.mark.usefixtures("registry")
def test_a_push_that_fails_on_a_first_apply_is_finished_by_the_next_one(roost, fly, docker):
    docker.fail("push")
    assert roost("apply", "staging").code == 1
    assert fly.organization
    assert fly.machines == {}
    (docker.folder / "fails").unlink()

    assert roost("apply", "staging").code == 0
    assert fly.machines


def test_the_fixture_leaves_no_docker_of_this_computer(docker):
    assert os.environ["PATH"] == str(docker.folder)


def test_without_a_token_no_option_is_advised_that_it_does_not_have(roost, monkeypatch):
    monkeypatch.delenv("FLY_API_TOKEN")

    said = roost("image", "staging", "--push")

    assert said.code == 3
    assert "error [token-missing]: FLY_API_TOKEN is not set. Make one with `fly tokens" in said.err
    assert "--local" not in said.err
    assert "or add --local" in roost("plan", "staging").err

"""One image, two builders: the Dockerfile agrees with image.json, which the local Fly uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from image.dockerfile import instructions

DEPLOY = Path(__file__).parents[3] / "deploy"
# What only a container needs said: where things are, and that nobody writes bytecode there.
CONTAINERS_OWN = {"IMAGE_ROOT", "PATH", "PYTHONDONTWRITEBYTECODE"}
INIT = "/usr/bin/tini"


FOLDERS = {
    "server": DEPLOY,
    "flow server": DEPLOY / "flows",
    "waker": DEPLOY / "waker",
    "redis": DEPLOY / "managed_redis",
}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request):
    """The folder with the parts of an image."""
    return FOLDERS[request.param]


@pytest.fixture(scope="module")
def spec(folder):
    return json.loads((folder / "image.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def steps(folder):
    return list(instructions((folder / "Dockerfile").read_text("utf-8")))


def texts(steps, word):
    return [step.text for step in steps if step.word == word]


def variables(steps):
    pairs = [pair.partition("=") for text in texts(steps, "ENV") for pair in text.split()]
    return {name: value for name, _, value in pairs}


def copied(steps):
    """Source and target of every COPY."""
    return dict(text.split() for text in texts(steps, "COPY"))


def locks(spec, version):
    """The lock of an image, if it has packages."""
    return [spec["lock"].format(version=version)] if "lock" in spec else []


def test_copies_the_lock_and_the_files_and_nothing_else(spec, steps):
    assert set(copied(steps)) == {*locks(spec, "${PREFECT_VERSION}"), *spec["files"]}


def test_installs_from_the_lock_with_hashes_and_nothing_else(spec, steps):
    targets = [copied(steps)[lock] for lock in locks(spec, "${PREFECT_VERSION}")]
    installs = [text for text in texts(steps, "RUN") if " install --no-cache-dir" in text]

    assert len(installs) == len(targets)
    for install, lock in zip(installs, targets, strict=True):
        assert f"--require-hashes --requirement {lock}" in install


@pytest.mark.parametrize("place", ["the image's root", "the working directory"])
def test_files_lie_where_the_program_looks_for_them(spec, steps, place):
    root = variables(steps)["IMAGE_ROOT"]
    actual = {"the image's root": root, "the working directory": texts(steps, "WORKDIR")[-1]}
    targets = {
        source: target for source, target in copied(steps).items() if source in spec["files"]
    }

    assert actual[place] == root
    assert set(targets.values()) <= {"./", *(f"./{name}" for name in spec["files"])}


def test_bakes_with_the_same_command_after_everything_is_copied(spec, steps):
    last_copy = max(at for at, step in enumerate(steps) if step.word == "COPY")
    bakes = [
        at
        for at, step in enumerate(steps)
        if step.word == "RUN" and " ".join(spec["bake"]) in step.text.split(" && ")
    ]

    assert bakes
    assert bakes[0] > last_copy


def test_starts_the_same_command_through_an_init(spec, steps):
    (command,) = [step.argv for step in steps if step.word == "CMD"]
    (entry,) = [step.argv for step in steps if step.word == "ENTRYPOINT"]

    assert list(command) == spec["command"]
    assert entry[0] == INIT
    assert entry[-1] == "--"


def test_sets_the_same_variables(spec, steps):
    said = variables(steps)

    assert {name: said[name] for name in said if name not in CONTAINERS_OWN} == spec["env"]
    assert set(said) >= CONTAINERS_OWN


def test_listens_on_the_port_that_is_declared(spec, steps):
    ports = [value for name, value in variables(steps).items() if name.endswith("_PORT")]

    assert ports == [str(spec["port"])]


def test_the_context_holds_what_is_copied_and_nothing_else(spec, folder):
    lines = (folder / ".dockerignore").read_text("utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        *locks(spec, "*"),
        *spec["files"],
    }
    # The last rule that matches wins: what Python leaves behind stays out of folders let in.
    assert set(rules[-2:]) == {"**/__pycache__", "**/*.pyc"}


def test_what_is_not_foreign_must_compile(spec, steps):
    """A `||` after a command lets its failure pass."""
    [run] = [text for text in texts(steps, "RUN") if "compileall" in text and "venv" not in text]
    strict = " ".join(part for part in run.split("&&") if "compileall" in part and "||" not in part)
    lenient = " ".join(part for part in run.split("&&") if "compileall" in part and "||" in part)

    for name in set(spec["files"]) - set(spec.get("foreign", ())):
        assert name in strict.split() or strict.split()[-1] == "."
    assert all(name in lenient.split() for name in spec.get("foreign", ()))

"""connect: a person's own Prefect is pointed at a server, and nothing is written that does not work."""

from __future__ import annotations

import json
import sys

import pytest

from helpers.fake_prefect import LOGIN
from roost.environment.model import AUTH_SECRET
from roost.operations.generated_secrets import GeneratedSecrets

URL = "https://acme-prefect.fly.dev"
# A Python that notes how it is called, and answers as the program does that it is handed.
PYTHON = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
(here / "call.json").write_text(json.dumps(
    {{"argv": sys.argv[1:], "stdin": json.load(sys.stdin), "environ": dict(os.environ)}}))
print("a plugin says something first")
print((here / "answer").read_text())
sys.exit(0)
"""
GOOD = {"client": "3.9.1", "server": "3.9.1", "before": "cloud", "path": "/home/ada/profiles.toml"}


class Client:
    """The Prefect of a person, as a folder of PATH."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in ("prefect", "python"):
            program = folder / name
            program.write_text(PYTHON.format(python=sys.executable))
            program.chmod(0o755)
        self.answer(**GOOD)

    def answer(self, **found):
        """Let the program find this."""
        (self.folder / "answer").write_text(json.dumps(found))

    @property
    def call(self):
        """How it was called; None where it was not."""
        file = self.folder / "call.json"
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def client(tmp_path, monkeypatch, roost):  # noqa: ARG001 - `roost` sets the environment up first
    found = Client(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{found.folder}:/usr/bin:/bin")
    return found


def test_it_hands_url_and_login_to_the_persons_own_prefect_and_says_how_to_go_back(roost, client):
    said = roost("connect", "staging")

    assert (said.code, said.err) == (0, "")
    assert client.call["stdin"] == {"name": "staging", "url": f"{URL}/api", "auth": LOGIN}
    assert "Your Prefect 3.9.1 is connected to" in said.out
    assert "prefect profile use cloud" in said.out


def test_it_needs_no_token_of_fly(roost, client, monkeypatch, fly):
    monkeypatch.delenv("FLY_API_TOKEN")

    assert roost("connect", "staging").code == 0

    assert client.call is not None
    assert not fly.asked


def test_the_login_is_in_no_command_line_and_in_nothing_that_is_printed(roost, client):
    said = roost("connect", "staging", "--json")

    assert LOGIN not in " ".join(client.call["argv"])
    assert LOGIN.partition(":")[2] not in said.out + said.err


def test_what_this_shell_sets_does_not_reach_the_proof_and_is_named(roost, client, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere.example/api")

    said = roost("connect", "staging")

    assert "PREFECT_API_URL" not in client.call["environ"]
    assert "unset PREFECT_API_URL" in said.out


def test_no_token_and_no_secret_reaches_the_persons_python(roost, client, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_1")
    monkeypatch.setenv("SOPS_AGE_KEY", "AGE-SECRET-KEY-1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")

    assert roost("connect", "staging").code == 0

    left_out = {"FLY_API_TOKEN", "GITHUB_TOKEN", "SOPS_AGE_KEY", AUTH_SECRET}
    assert not left_out & client.call["environ"].keys()
    assert client.call["environ"]["HTTPS_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize("command", [("connect", "staging"), ("doctor", "--client")])
def test_no_file_of_the_current_folder_is_run(roost, client, monkeypatch, tmp_path, command):
    ours = tmp_path / "cwd"
    ours.mkdir()
    for name in ("json", "os", "prefect"):
        (ours / f"{name}.py").write_text(f"open('{tmp_path}/run', 'w')\n")
    (client.folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    monkeypatch.chdir(ours)

    said = roost(*command)

    assert not (tmp_path / "run").exists()
    assert "Prefect" in said.out + said.err


def test_another_name_for_the_profile(roost, client):
    assert roost("connect", "staging", "--profile", "team").code == 0

    assert client.call["stdin"]["name"] == "team"


@pytest.mark.parametrize(
    ("version", "words"),
    [("3.6.13", "loses task runs"), ("3.10.0", "newer than the server's 3.9.1")],
)
def test_a_client_that_does_not_fit_is_named(roost, client, version, words):
    client.answer(**{**GOOD, "client": version})

    said = roost("connect", "staging")

    assert said.code == 0
    assert words in said.out


def test_a_client_of_an_older_minor_version_fits(roost, client):
    client.answer(**{**GOOD, "client": "3.7.8"})

    assert "pip install" not in roost("connect", "staging").out


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ({"fault": "no-answer", "status": 401, "client": "3.9.1"}, 1, "not the server's"),
        ({"fault": "no-answer", "text": "ReadTimeout", "client": "3.9.1"}, 1, "ReadTimeout"),
        ({"fault": "no-prefect", "text": "prefect"}, 3, "pip install prefect"),
    ],
)
def test_what_goes_wrong_is_said_with_the_way_out(roost, client, answer, code, words):
    client.answer(**answer)

    said = roost("connect", "staging")

    assert said.code == code
    assert words in said.err


def test_a_program_that_breaks_is_named_and_not_quoted(roost, client):
    (client.folder / "answer").write_text(f"Traceback: {LOGIN}")

    said = roost("connect", "staging")

    assert said.code == 1
    assert "wrote no profile" in said.err
    assert LOGIN not in said.err


def test_without_a_prefect_nobody_is_asked_for_a_password(roost, client, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)
    (client.folder / "prefect").unlink()

    said = roost("connect", "staging")

    assert said.code == 3
    assert "error [client-missing]" in said.err


def test_without_a_login_and_a_terminal_it_says_what_to_set(roost, client, monkeypatch):
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("connect", "staging")

    assert said.code == 3
    assert f"Set {AUTH_SECRET}" in said.err
    assert client.call is None


def test_a_login_made_up_for_the_local_fly_is_not_taken_for_another_server(
    roost, client, monkeypatch, tmp_path
):
    monkeypatch.delenv(AUTH_SECRET)
    GeneratedSecrets(tmp_path / "localfly").values("acme-prefect", [AUTH_SECRET])

    assert roost("connect", "staging").code == 3

    assert client.call is None


def test_print_shows_what_to_set_elsewhere_and_asks_nobody(roost, client, monkeypatch, prefect):
    monkeypatch.delenv(AUTH_SECRET)

    said = roost("connect", "staging", "--print")

    assert said.out.splitlines() == [
        f"PREFECT_API_URL={URL}/api",
        f"PREFECT_API_AUTH_STRING=${{{AUTH_SECRET}}}",
    ]
    assert client.call is None
    assert not prefect.asked


def test_a_server_without_a_login_needs_none(roost, client, rewrite, monkeypatch):
    rewrite({"secrets": []}, access={"auth": "none", "public": False})
    monkeypatch.setattr("roost.operations.server_address.resolves", _everywhere)

    assert roost("connect", "staging").code == 0

    assert not client.call["stdin"]["auth"]


async def _everywhere(_name):
    return True


def test_apply_ends_with_the_command_that_connects(roost):
    said = roost("apply", "staging")

    assert said.err.endswith("Connect your Prefect: ./run roost connect staging\n")
    assert "Connect your" not in roost("apply", "staging", "--json").err

"""Values come out of SOPS files through the real program, hidden at once; every failure is a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.sops_files import SOPS, age_key, encrypt
from roost.apply.sops import SopsFiles, Unread, find_sops, may_have_key
from roost.secret_text import SecretText

VALUE = "admin:value-of-the-sops-file\nand a second line"
CONTENT = json.dumps({"AUTH": VALUE, "PORT": 5, "NUL": "a\0b"})
YAML, JSON, DOTENV = "prod.sops.yaml", "prod.sops.json", "prod.sops.env"


@pytest.fixture(scope="module")
def key():
    return age_key()


@pytest.fixture
def files(tmp_path, key):
    """Return the files of a repository, to whoever has a key."""

    def open_with(**environ):
        path = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return SopsFiles(tmp_path, {**path, "OTHER_VALUE": "of ours", **environ})

    encrypt(tmp_path / YAML, CONTENT, key)
    encrypt(tmp_path / JSON, CONTENT, key)
    encrypt(tmp_path / DOTENV, "AUTH=plain text\n", key)
    return open_with


@pytest.mark.parametrize("file", [YAML, JSON])
def test_a_value_is_read_as_it_was_written_and_hides_itself(files, key, file):
    value = files(SOPS_AGE_KEY=key.private).value(file, "AUTH")

    assert isinstance(value, SecretText)
    assert value.reveal() == VALUE


def test_a_dotenv_file_is_read_too(files, key):
    assert files(SOPS_AGE_KEY=key.private).value(DOTENV, "AUTH") == SecretText("plain text")


def test_a_key_may_stand_in_a_file(files, key, tmp_path):
    kept = tmp_path / "age.txt"
    kept.write_text(f"# a test's own key\n{key.private}\n")

    assert files(SOPS_AGE_KEY_FILE=str(kept)).value(YAML, "AUTH") == SecretText(VALUE)


def test_a_file_is_decrypted_once(files, key, tmp_path):
    opened = files(SOPS_AGE_KEY=key.private)
    first = opened.value(YAML, "AUTH")
    (tmp_path / YAML).unlink()

    assert opened.value(YAML, "AUTH") is first


@pytest.mark.parametrize("other", [None, age_key()], ids=["no key", "another key"])
def test_without_its_key_the_recipient_that_is_needed_is_named(files, key, other):
    environ = {"SOPS_AGE_KEY": other.private} if other else {}

    unread = files(**environ).value(YAML, "AUTH")

    assert unread == Unread(
        f"{YAML} cannot be decrypted here: there is no key for {key.recipient}",
        "Set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE to its age key.",
    )


@pytest.mark.parametrize("name", ["PORT", "AUHT", "NUL"])
def test_a_name_without_a_text_is_told_so(files, key, name):
    unread = files(SOPS_AGE_KEY=key.private).value(YAML, name)

    assert unread.why == f"{YAML} has no text value {name}"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key.private[:-3],
        lambda key: f'"{key.private}"',
        lambda key: key.private.lower(),
        lambda key: key.recipient,
        lambda _: "hunter2",
    ],
    ids=["cut short", "quoted", "lower case", "the public half", "junk"],
)
def test_what_is_no_key_is_told_so_and_not_shown(files, key, spoil):
    bad = spoil(key)

    unread = files(SOPS_AGE_KEY=bad).value(YAML, "AUTH")

    assert unread.why == f"{YAML} cannot be decrypted here: SOPS_AGE_KEY does not hold an age key"
    assert "AGE-SECRET-KEY-" in unread.advice
    assert bad not in unread.why + unread.advice


def test_a_key_among_notes_and_blank_lines_is_one(files, key):
    text = f"# created by age-keygen\n\n{key.private}\n"

    assert isinstance(files(SOPS_AGE_KEY=text).value(YAML, "AUTH"), SecretText)


def test_key_groups_need_a_key_of_each(files, key, tmp_path):
    other = age_key()
    groups = [f"age: ['{each.recipient}']" for each in (key, other)]
    (tmp_path / ".sops.yaml").write_text(
        "creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n"
        + "".join(f"      - {group}\n" for group in groups)
    )
    path = tmp_path / "two.sops.yaml"
    path.write_text("AUTH: text\n")
    arguments = ("--config", str(tmp_path / ".sops.yaml"), "encrypt", "--in-place", str(path))
    subprocess.run([str(SOPS), *arguments], check=True, capture_output=True)

    unread = files(SOPS_AGE_KEY=key.private).value(path.name, "AUTH")
    both = files(SOPS_AGE_KEY=f"{key.private}\n{other.private}").value(path.name, "AUTH")

    assert "it needs keys of 2 of its key groups" in unread.why
    assert "Set SOPS_AGE_KEY to one age key of each group, one key a line" in unread.advice
    assert both == SecretText("text")


def test_an_ssh_recipient_is_told_with_the_variable_for_its_key(files, key, tmp_path):
    path = encrypt(tmp_path / "ssh.sops.yaml", "AUTH: text\n", key)
    path.write_text(path.read_text().replace(key.recipient, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"))

    unread = files(SOPS_AGE_KEY=age_key().private).value(path.name, "AUTH")

    assert "there is no key for an SSH recipient" in unread.why
    assert "SOPS_AGE_SSH_PRIVATE_KEY_FILE" in unread.advice


def test_a_file_that_was_changed_by_hand_is_refused_without_its_content(files, key, tmp_path):
    path = tmp_path / YAML
    path.write_text(path.read_text().replace("PORT: ENC", "PORT_2: ENC"))

    unread = files(SOPS_AGE_KEY=key.private).value(YAML, "AUTH")

    assert unread.why == f"sops refuses {YAML}: it was changed by hand or is damaged"
    assert VALUE.splitlines()[0] not in repr(unread)


def test_a_file_in_the_clear_is_not_even_given_to_sops(files, tmp_path):
    (tmp_path / "plain.yaml").write_text(CONTENT)

    assert files(PATH="").value("plain.yaml", "AUTH").why.startswith("plain.yaml is not encrypted")


def test_a_missing_program_is_told_with_how_to_bring_it(files, monkeypatch):
    monkeypatch.setattr("roost.apply.sops.find_sops", lambda *_: "")

    assert files(SOPS_AGE_KEY="any").value(YAML, "AUTH") == Unread(
        f"{YAML} needs the program sops, which is not installed",
        "Install it with `./run sops --help`, or by hand.",
    )


@pytest.mark.parametrize("script", ["exit 0", "echo '[1'", "exit 1"])
def test_a_program_that_is_not_sops_ends_in_a_sentence(files, tmp_path, script):
    impostor = tmp_path / "bin" / "sops"
    impostor.parent.mkdir()
    impostor.write_text(f"#!/bin/sh\n{script}\n")
    impostor.chmod(0o755)

    opened = files(PATH=str(impostor.parent), SOPS_AGE_KEY="any")
    assert f"sops refuses {YAML}" in opened.value(YAML, "A").why


def test_a_program_that_does_not_run_ends_in_a_sentence(files, tmp_path):
    impostor = tmp_path / "bin" / "sops"
    impostor.parent.mkdir()
    impostor.write_bytes(b"\x7fELF")
    impostor.chmod(0o755)

    unread = files(PATH=str(impostor.parent), SOPS_AGE_KEY="any").value(YAML, "AUTH")

    assert unread.why.endswith("did not start or did not finish")


def test_sops_sees_its_key_and_nothing_else_of_ours(files, tmp_path):
    """A CI job's environment holds the values of other secrets, and tokens."""
    spy = tmp_path / "bin" / "sops"
    spy.parent.mkdir()
    seen = tmp_path / "seen"
    spy.write_text(f'#!/bin/sh\n{{ env; echo "$@"; }} > {seen}\necho "{{}}"\n')
    spy.chmod(0o755)
    path = f"{spy.parent}:{os.environ['PATH']}"

    files(PATH=path, SOPS_AGE_KEY="k", FLY_API_TOKEN="t").value(YAML, "AUTH")

    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert {"HOME", "PATH", "SOPS_AGE_KEY"} <= names
    assert not names & {"OTHER_VALUE", "FLY_API_TOKEN", "AUTH"}


def test_without_any_key_sops_is_not_even_run(files, monkeypatch):
    """A pull request's file could have it ask a server of the author's."""
    monkeypatch.setattr("roost.apply.sops.find_sops", lambda *_: pytest.fail("looked for"))

    assert "there is no key for age1" in files().value(YAML, "AUTH").why


@pytest.mark.parametrize(
    "place", [".config/sops/age/keys.txt", "xdg/sops/age/keys.txt", ".ssh/id_ed25519"]
)
def test_a_key_in_a_place_that_sops_knows_is_left_to_sops(tmp_path, place):
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert not may_have_key(environ)

    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text("a key")

    assert may_have_key(environ)


def test_the_program_is_found_on_the_path_first_then_beside_python(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert find_sops({"PATH": ""}) == ""

    shutil.copy(SOPS, tmp_path / "sops")
    assert find_sops({"PATH": "/nowhere"}) == str(tmp_path / "sops")
    assert find_sops({"PATH": str(Path(SOPS).parent)}) == str(SOPS)

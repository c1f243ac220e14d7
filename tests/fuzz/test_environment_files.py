"""Environment files of every kind: valid, or told as faults with their place; nothing else, ever."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import socket
import threading
from itertools import cycle

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helpers.environments import environment_data, environments
from helpers.fuzzing import examples
from helpers.junk import NASTY, spoilt
from roost.environment.load import load_files

GOOD = yaml.safe_dump(environment_data(), sort_keys=False)
CANARY = "hunter2xyzzy"
# A value that somebody took for the name of a secret, or left where it fell.
SECRETS = (
    f"postgresql://admin:{CANARY}@db.example/prefect",
    f"fm2_{CANARY}+/=",
    f"FlyV1 fm2_{CANARY}",
    f"pnu_{CANARY} ",
    f"Bearer {CANARY}",
)
PIECES = st.sampled_from(
    [
        *("\t", "\r", "\r\n", "\0", "\ufeff", "\x1b[2J", "\u2028", "\u202e", "\x85", "\ud83e"),
        *(
            "&a ",
            "*a",
            "<<: *a\n",
            "!!str ",
            "---\n",
            "...\n",
            "? ",
            "- ",
            ": ",
            "# ",
            "%YAML 1.1\n",
        ),
        *(
            "{",
            "}",
            "[",
            "]",
            "'",
            '"',
            "|\n",
            ">\n",
            "\\",
            "~",
            "yes",
            ".nan",
            ".inf",
            "0o7",
            "1_0",
        ),
        *("2026-01-01", "1e3", "x" * 200, "[" * 60, "{a: " * 60, "  ", "\n", "region: ams\n", "é"),
    ]
)
FAULT = re.compile(r":(\d+):(\d+): \S.*")


def assert_judged(said, path, content):
    """Valid, or every fault with a place that is in the file, in text that any terminal survives."""
    assert said.code in {0, 3}
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
    if said.code == 0:
        assert said.out.endswith("valid.\n")
        return
    *faults, last = said.err.splitlines()
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", content.decode("utf-8", "replace"))
    assert last.startswith("roost: error [invalid-files]: ")
    assert len(faults) == int(last.split(": ")[2].split(" ")[0])
    for fault in faults:
        assert fault.startswith(str(path))
        place = FAULT.fullmatch(fault.removeprefix(str(path)))
        assert place, fault
        assert 1 <= int(place[1]) <= len(lines) + 1
        assert int(place[2]) >= 1


@st.composite
def stirred(draw):
    """The text of a good file with pieces thrown in, cut out and doubled."""
    text = yaml.safe_dump(draw(environments()), sort_keys=False)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.integers(0, 12)))
        middle = draw(PIECES) if draw(st.booleans()) else text[at:until] * 2
        text = text[:at] + middle + text[until:]
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


@given(content=stirred())
@examples(60)
def test_a_file_that_was_stirred_is_valid_or_told(roost, tmp_path, content):
    path = tmp_path / "stirred.yaml"
    path.write_bytes(content)

    assert_judged(roost("validate", path), path, content)


@given(data=st.data())
@examples(60)
def test_a_file_with_one_thing_wrong_is_valid_or_told(roost, tmp_path, data):
    document = data.draw(spoilt(data.draw(environments())))
    try:
        content = json.dumps(document).encode()  # JSON is YAML
    except (ValueError, RecursionError):
        return
    path = tmp_path / "spoilt.yaml"
    path.write_bytes(content)

    assert_judged(roost("validate", path), path, content)


@given(data=st.data())
@examples(40)
def test_what_may_be_a_secret_is_never_said_wherever_it_stands(roost, tmp_path, data):
    document = copy.deepcopy(data.draw(environments()))  # parts of it are the strategy's own
    path = tmp_path / "leaky.yaml"
    value = data.draw(st.sampled_from(SECRETS))
    places = list(_texts(document))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))

    said = roost("validate", path)

    assert CANARY not in said.out + said.err


def _texts(document):
    """Return where in a document something plain stands: what holds it, and under which key."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inner:
        if isinstance(value, dict | list):
            yield from _texts(value)
        yield document, key


@given(environments())
@examples(25)
def test_what_is_valid_is_the_same_when_it_is_written_out_whole(roost, tmp_path, data):
    """`roost show --json` loses nothing: as a file, it is the same environment."""
    data = {**data, "app": "acme-whole"}  # there is a file beside it, with an app of its own
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    shown = json.loads(roost("show", "whole", "--json").out)
    shown.pop("x-image")
    shown.pop("x-environment")
    again = tmp_path / "again" / "whole.yaml"
    again.parent.mkdir(exist_ok=True)
    again.write_text(yaml.safe_dump(shown, sort_keys=False))

    first, second = load_files([tmp_path / "whole.yaml"]), load_files([again])

    assert not second.faults
    assert first.files[0].environment == second.files[0].environment


# What may stand where a file should


def folder(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path)


def dangling(path):
    path.symlink_to("nowhere")


def fifo(path):
    os.mkfifo(path)


def to_fifo(path):
    os.mkfifo(path.parent / "pipe")
    path.symlink_to("pipe")


def endless(path):
    path.symlink_to("/dev/zero")


def terminal(path):
    path.symlink_to("/dev/tty")


def listener(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("name", ["staging.yaml", "_defaults.yaml"])
@pytest.mark.parametrize(
    "put", [folder, loop, dangling, fifo, to_fifo, endless, terminal, listener, sparse]
)
def test_what_is_no_file_is_told_and_never_waited_for(roost, tmp_path, put, name):
    place = tmp_path / "odd"
    place.mkdir()
    (place / "good.yaml").write_text(GOOD)
    put(place / name)

    said = roost("validate", place)

    if (put, name) in {(loop, "_defaults.yaml"), (dangling, "_defaults.yaml")}:
        assert said.code in {0, 3}  # nothing is there
        return
    assert said.code == 3
    assert said.err.startswith(f"{place / name}:1:1: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_told(roost, tmp_path):
    (tmp_path / "staging.yaml").chmod(0)

    assert "cannot be read: permission denied" in roost("validate").err


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Jx", "\udcff", "a" * 250, "ünï", "\u202ex", "-x"])
def test_a_file_s_name_is_shown_on_one_line_whatever_it_is(roost, tmp_path, name):
    place = tmp_path / "odd"
    place.mkdir()
    (place / f"{name}.yaml").write_text(GOOD)

    said = roost("validate", place)
    as_json = roost("validate", place, "--json")

    assert said.code == as_json.code == 3
    assert len(said.err.splitlines()) == 2
    assert said.err.replace("\n", "").isprintable()
    assert json.loads(as_json.out)["faults"][0]["path"] == str(place / f"{name}.yaml")


def test_a_file_that_changes_while_it_is_read_is_valid_or_told(roost, tmp_path):
    path = tmp_path / "moving.yaml"
    contents = [GOOD.encode(), b"", GOOD.encode()[:30], b"app: [\n", b"\xff" * 5000]
    path.write_bytes(b"")
    done = threading.Event()

    def write():
        for content in cycle(contents):
            path.write_bytes(content)
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        codes = {roost("validate", path).code for _ in range(40)}
    finally:
        done.set()
        writer.join()

    assert codes <= {0, 3}


@pytest.mark.parametrize("digest", [*NASTY, "0" * 64])
def test_a_digest_that_is_none_stops_an_apply_before_it_changes_anything(roost, spoiler, digest):
    said = roost("apply", "staging", "--digest", digest or " ")

    assert said.code == 1
    assert "[changed-meanwhile]" in said.err
    assert spoiler.fly.changes == []

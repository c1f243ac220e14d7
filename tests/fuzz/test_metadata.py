"""Metadata as somebody else may have written it: it never breaks a look, and is never half believed."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import examples
from helpers.junk import NASTY, spoilt
from roost.errors import ExitCode
from roost.plan.desired import ENVIRONMENT_KEY
from roost.plan.next_due import NEXT_DUE_KEY

CODES = {int(code) for code in ExitCode}
LOOKS = [("plan",), ("plan", "--json"), ("status",), ("releases",), ("secrets",), ("backups",)]
KEYS = ["roost_release_1", "roost_release_2", "roost_release_999999999", "roost_override"]
OURS = [*KEYS, "roost_slot", "roost_prefect_version", "roost_secret_marks", "roost_volume_gb"]
OURS += [NEXT_DUE_KEY]


@pytest.fixture
def applied(roost, spoiler):
    """The environment, applied, with an override; gives what stands before Fly."""
    assert roost("apply", "staging").code == 0
    options = ("--memory-mb", "1024", "--until", "4h", "--reason", "demo")
    scaled = roost("scale", "staging", *options)
    assert scaled.code == 0, scaled.err
    return spoiler


@st.composite
def junk_text(draw, text):
    """Another text for an entry: junk, or what it was with one thing wrong, deep inside too."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or draw(st.booleans()):
        return draw(st.sampled_from(NASTY) | st.text(max_size=30) | st.just(text[: len(text) // 2]))
    config = _unpacked(document.get("config"))
    if config is not None and draw(st.booleans()):
        packed = zlib.compress(_json(draw(spoilt(config))))
        return json.dumps({**document, "config": base64.b64encode(packed).decode()})
    return _json(draw(spoilt(document))).decode("utf-8", "replace")


def _unpacked(config):
    """Return the config in a record; None where an earlier piece of junk stands."""
    try:
        return json.loads(zlib.decompress(base64.b64decode(config)))
    except (TypeError, ValueError, zlib.error):
        return None


def _json(document):
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return b"[" * 5000


def spoil_metadata(data, spoiler):
    """Write junk into one to three entries of the machine's metadata."""
    spoiler.begin(None)
    [machine] = spoiler.fly.machines.values()
    metadata = machine["config"]["metadata"]
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from([*metadata, *OURS]), label="key")
        if key != ENVIRONMENT_KEY:
            metadata[key] = data.draw(junk_text(metadata.get(key, "{}")), label="text")


def assert_told(said):
    """A known exit code, and text that any terminal survives."""
    assert said.code in CODES
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
    if said.code not in {ExitCode.DONE, ExitCode.CHANGES}:
        assert "roost: error [" in said.err


@given(data=st.data())
@examples(30)
def test_a_look_at_junk_in_metadata_ends_in_a_sentence_and_changes_nothing(roost, applied, data):
    spoil_metadata(data, applied)
    verb, *options = data.draw(st.sampled_from(LOOKS))

    assert_told(roost(verb, "staging", *options))
    assert [call for call in applied.asked if not call.startswith("GET ")] == []


DUE = json.dumps({"at": "2026-11-30T09:00:00Z", "flow_server": "nightly", "deployment": "load/all"})
OPENS = json.dumps({"at": "2026-11-30T07:00:00Z", "window": "mon-fri 08:00-18:00 Europe/Berlin"})


@given(data=st.data())
@examples(20)
def test_junk_for_the_next_run_of_a_sleeping_server_ends_in_a_sentence(roost, applied, data):
    applied.begin(None)
    [machine] = applied.fly.machines.values()
    machine["state"] = "suspended"
    machine["config"]["metadata"][NEXT_DUE_KEY] = data.draw(
        junk_text(DUE) | junk_text(OPENS), label="text"
    )

    for command in ("tick", "status"):
        said = roost(command, "staging")
        assert_told(said)
        assert said.code == ExitCode.DONE, said
    assert [call for call in applied.asked if not call.startswith("GET ")] == []


@given(data=st.data())
@examples(8)
def test_an_apply_over_junk_in_metadata_ends_in_a_sentence_and_leaves_one_machine(
    roost, applied, data
):
    spoil_metadata(data, applied)

    assert_told(roost("apply", "staging"))
    assert len(applied.fly.machines) == 1
    assert len(applied.fly.volumes) == 1


def test_a_record_that_swells_is_none(roost, applied):
    applied.begin(None)
    [machine] = applied.fly.machines.values()
    metadata = machine["config"]["metadata"]
    record = json.loads(metadata["roost_release_1"])
    bomb = base64.b64encode(zlib.compress(b'{"a": "' + b" " * 50_000_000 + b'"}', 1)).decode()
    metadata["roost_release_7"] = json.dumps({**record, "number": 7, "config": bomb})

    said = roost("releases", "staging", "--json")

    assert 7 not in {release["number"] for release in json.loads(said.out)["releases"]}

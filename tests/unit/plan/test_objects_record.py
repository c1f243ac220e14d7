"""The record of Prefect's objects in metadata: what it keeps, and what anybody could put there."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.environment.prefect_objects import PrefectObject
from roost.plan.objects_record import (
    ObjectsRecord,
    Written,
    check_object_values,
    decode,
    outdated,
    with_written,
)
from roost.plan.secret_fingerprints import Effort, fingerprint
from roost.secret_text import SecretText

REGION = PrefectObject("variables", {"name": "region", "value": {"a": [1, 2.5, None, True]}})
VALUE = SecretText("hunter2")
PRINT = fingerprint(VALUE, b"0" * 12, Effort(ln=1))
RECORD = ObjectsRecord(
    (REGION,), ("work_pools/old",), {REGION.key: Written("form", "t", {"HOOK": PRINT})}
)


def packed(fields):
    """Return a text as metadata would hold it."""
    return base64.b64encode(zlib.compress(json.dumps(fields).encode())).decode()


def test_a_record_is_read_as_it_was_written():
    assert decode(RECORD.encoded()) == RECORD


def test_a_record_of_two_hundred_objects_is_small():
    many = tuple(
        PrefectObject("variables", {"name": f"v{i}", "value": "x" * 200}) for i in range(200)
    )

    assert len(ObjectsRecord(many).encoded()) < 8_000


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "e30=", packed([]), packed({}), packed({"objects": 5, "others": [], "written": {}})),
        packed({"objects": [["variables", {}]], "others": [], "written": {}}),
        packed({"objects": [["nothing", {"name": "a"}]], "others": [], "written": {}}),
        packed({"objects": [], "others": ["nothing/a"], "written": {}}),
        packed({"objects": [], "others": [], "written": {"a": {}}}),
        base64.b64encode(zlib.compress(b"[" * 2**21)).decode(),
    ],
)  # fmt: skip
def test_a_text_of_another_form_is_no_record(text):
    assert decode(text) is None


@given(st.text(max_size=50))
def test_no_text_is_a_fault(text):
    decode(text)


def test_after_other_data_only_whose_the_objects_are_is_known_and_which_values_were_reviewed():
    [(key, text)] = outdated({"roost_prefect_objects": RECORD.encoded()}).items()

    assert decode(text) == ObjectsRecord(
        others=("variables/region", "work_pools/old"),
        written={REGION.key: Written(fingerprints={"HOOK": PRINT})},
    )
    assert outdated({}) == {}
    assert key == "roost_prefect_objects"


def test_values_are_compared_by_their_fingerprints():
    same = check_object_values(RECORD, {"HOOK": VALUE})
    other = check_object_values(RECORD, {"HOOK": SecretText("hunter3")})
    absent = check_object_values(RECORD, {})

    assert (same.same, same.changed) == ({PRINT}, frozenset())
    assert (other.same, other.changed) == (frozenset(), {PRINT})
    assert (absent.same, absent.changed) == (frozenset(), frozenset())
    assert check_object_values(None, {"HOOK": VALUE}) == absent


def test_nothing_is_kept_of_an_object_with_nothing_to_remember():
    assert with_written(RECORD, REGION.key, Written()).written == {}

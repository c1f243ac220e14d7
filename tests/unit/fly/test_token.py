"""When a token ends: read from real ones, and nothing at all from junk."""

from __future__ import annotations

import base64
from datetime import timedelta

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fly_tokens import IF_PRESENT, at, caveat_set, fly_token, macaroon, window
from roost.fly.token import MAX_CHARACTERS, ends_soon, token_ends
from roost.secret_text import SecretText

END = at(2026, 12, 24)
LATER = END + timedelta(days=30)


def ends(text):
    return token_ends(SecretText(text))


@pytest.mark.parametrize("prefix", ["", "FlyV1 ", "Bearer ", "Bearer FlyV1 ", " flyv1  "])
def test_a_token_ends_when_its_window_does_however_it_is_given(prefix):
    assert ends(prefix + macaroon(window(END))) == END


def test_of_several_parts_and_windows_the_first_to_end_counts():
    assert ends(fly_token(LATER, END)) == END
    assert ends(macaroon(window(LATER), window(END))) == END


def test_a_window_inside_of_another_caveat_is_one():
    inner = (IF_PRESENT, [caveat_set([window(END)]), 31])

    assert ends(macaroon(window(LATER), inner)) == END


def test_padding_may_be_missing():
    assert ends(macaroon(window(END)).rstrip("=")) == END


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "fm2_", "fm2_x", "fm2_====", "local", "fo1_abcdef", "FlyV1", "FlyV1 "),
        *("fm2_\u00e9", "fm2_lJ", "x" * 200_000, "fm2_" + "A" * 200_000, "fm3_AAAA"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_macaroon_has_no_end(text):
    assert ends(text) is None


@pytest.mark.parametrize(
    "caveats",
    [
        [],
        [(4, [0])],
        [(4, [0, "soon"])],
        [(4, [0, True])],
        [(4, None)],
        [window(2**63 - 1)],
        [(4, {0: 1})],
    ],
)
def test_a_macaroon_that_does_not_say_when_it_ends_has_no_end(caveats):
    assert ends(macaroon(*caveats)) is None


def nested(depth):
    """A caveat in a caveat, so deep."""
    inner = [4, [0, 1]]
    for _ in range(depth):
        inner = [IF_PRESENT, [inner, 31]]
    return inner


@pytest.mark.parametrize("depth", [9, 100, 400])
def test_what_is_nested_too_deep_has_no_end(depth):
    assert ends(macaroon(tuple(nested(depth)))) is None


def packs(value):
    """Return whether MessagePack can write it."""
    try:
        msgpack.packb(value)
    except (OverflowError, ValueError):
        return False
    return True


PACKED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=8)
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(), inner, max_size=2),
    max_leaves=30,
).filter(packs)


@given(PACKED | st.lists(PACKED, min_size=4, max_size=5))
def test_no_content_raises(value):
    ends(f"fm2_{base64.b64encode(msgpack.packb(value)).decode()}")


@given(st.binary(max_size=300))
def test_no_bytes_raise(content):
    ends(f"fm2_{base64.b64encode(content).decode()}")


@given(st.text(max_size=50))
def test_no_text_raises(text):
    ends(text)
    ends(f"FlyV1 {text},fm2_{text}")


@pytest.mark.parametrize(
    "content",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\xc6\xff\xff\xff\xff",  # bytes, as many
        b"\x94" * 5000,  # lists in lists
        b"\x94\xc0\xc0\x92\x04\x92\x00\xc7\x08\xff" + b"\xff" * 8,  # a time that is none
        b"\x81\x90\x00",  # a map whose key is a list
    ],
)
def test_what_lies_of_its_size_or_depth_has_no_end(content):
    assert ends(f"fm2_{base64.b64encode(content).decode()}") is None


def test_nothing_is_read_of_what_is_too_long():
    good = macaroon(window(END))

    assert ends(f"{good}{',' * (MAX_CHARACTERS - len(good))}") == END
    assert ends(f"{good}{',' * MAX_CHARACTERS}") is None


@pytest.mark.parametrize(("days", "soon"), [(20, False), (14, False), (13, True), (-1, True)])
def test_less_than_14_days_is_soon(days, soon):
    token = SecretText(fly_token(END))

    assert ends_soon(token, END - timedelta(days=days)) == (END if soon else None)

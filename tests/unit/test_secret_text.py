"""A secret shows itself nowhere by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import anyio
import httpx
import pydantic
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import FlyError
from roost.fly.client import FlyClient
from roost.secret_text import HIDDEN, SecretText

VALUE = 'a "secret"\nwith ünusual/characters'
SECRET = SecretText(VALUE)


@dataclasses.dataclass
class Holder:
    """Somebody's dataclass with a secret in it."""

    secret: SecretText


class Model(pydantic.BaseModel):
    """Somebody's model with a secret in it."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    secret: SecretText


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        lambda s: f"{s}",
        lambda s: f"{s!r:>20}",
        lambda s: f"{s:>20}",
        lambda s: f"{[s]} { ({'k': s}) }",
        lambda s: "%s" % s,  # noqa: UP031 - people still write it
        lambda s: repr(Holder(s)),
        lambda s: repr(Model(secret=s)),
        lambda s: str(Model(secret=s).model_dump()),
        lambda s: json.dumps(s, default=str),
        lambda s: str(logging.makeLogRecord({"msg": "%s", "args": (s,)}).getMessage()),
    ],
)
def test_a_secret_is_hidden_in_every_text_it_is_put_into(show):
    shown = show(SECRET)

    assert "secret" not in shown.replace("secret=", "").replace("'secret':", "")
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "take",
    [
        json.dumps,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        vars,
        lambda s: Model(secret=s).model_dump_json(),
        lambda s: dataclasses.asdict(Holder(s)),
    ],
)
def test_a_secret_is_not_taken_out_by_copying_or_serialising(take):
    with pytest.raises((TypeError, pydantic.PydanticUserError, ValueError)) as failure:
        take(SECRET)

    assert "ünusual" not in "".join(traceback.format_exception(failure.value))


def test_reveal_gives_the_value():
    assert SECRET.reveal() == VALUE


def test_secrets_compare_by_value_and_only_with_secrets():
    assert SecretText(VALUE) == SECRET
    assert hash(SECRET) == hash(SecretText(VALUE))
    assert SecretText("a") != SecretText("b")
    assert SecretText("a") != "a"


def test_an_empty_secret_is_false_and_redacts_nothing():
    assert not SecretText("")
    assert SecretText("").redact("abc") == "abc"


@given(st.text(min_size=4), st.text(), st.text())
def test_an_echo_is_redacted_however_it_is_spelt(value, before, after):
    secret = SecretText(value)

    for echo in (value, json.dumps({"v": value}), json.dumps({"v": value}, ensure_ascii=False)):
        redacted = secret.redact(before + echo + after)
        assert echo not in redacted.replace(HIDDEN, "")  # a value may be a part of that word
        assert HIDDEN in redacted


def test_a_call_that_sets_secrets_shows_none_wherever_it_fails():
    """Not even to who prints the variables of every frame."""

    def fails(_):
        raise httpx.ReadError("gone")

    async def set_secrets():
        transport = httpx.MockTransport(fails)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as fly:
            await fly.set_secrets("acme", {"HOOK": SECRET})

    with stamina.set_testing(True, attempts=1), pytest.raises(FlyError) as failure:
        anyio.run(set_secrets)

    told = traceback.TracebackException.from_exception(failure.value, capture_locals=True)
    frames = [f for f in told.stack if "/roost/" in f.filename]
    assert {f.name for f in frames} >= {"set_secrets", "send"}
    assert "characters" not in "".join(str(f.locals) for f in frames)
    assert HIDDEN in "".join(str(f.locals) for f in frames)

"""A machine's config with one thing wrong is imported, or refused with a sentence; never anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from helpers.made_by_flyctl import CHECK, app, config, machine
from roost.adoption.choose import choose
from roost.adoption.imported import imported, version_of
from roost.adoption.written import written
from roost.environment.load import check
from roost.environment.prefect_settings import OWN_DEPLOY, settings_of
from roost.environment.yaml_source import read_source
from roost.errors import NotImportableError

KNOWN = settings_of(OWN_DEPLOY, "3.8.8")
NUMBERS = (5, -1, 0, 10**12, 1.5)
TEXTS = ("", "x", "\x00", "\ud800", "a\nb: c", "5s", "-3s", "1h")
JUNK: tuple[object, ...] = (None, True, False, *NUMBERS, *TEXTS, [], {}, [None], [{}], {"a": None})


def whole():
    """Return a config with every field that an import reads."""
    return config(
        processes=[{"cmd": ["prefect", "server", "start"]}],
        checks={"alive": CHECK},
        statics=[{"guest_path": "/x"}],
    )


def places(value, path=()):
    """Yield the path of every part of a config but itself."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))


def spoilt(path, junk):
    found = whole()
    *above, last = path
    place = found
    for key in above:
        place = place[key]
    place[last] = junk
    return found


@given(st.sampled_from(list(places(whole()))), st.sampled_from(JUNK))
def test_a_config_with_one_part_wrong_is_imported_whole_or_refused(path, junk):
    live = None
    with contextlib.suppress(ValidationError):  # the client of Fly's API refuses it before
        live = app(machine(config=spoilt(path, junk)))
    assume(live is not None)
    try:
        chosen = choose(live)
        found = imported("taken", live, chosen, version_of(chosen) or "3.8.8", KNOWN)
    except NotImportableError as refused:
        if not refused.advice:
            pytest.fail("a refusal without a next step")
        return
    text = written(found).encode("utf-8", errors="replace")
    environment, faults = check(read_source("taken.yaml", text))
    assert faults == []
    assert environment == found.environment

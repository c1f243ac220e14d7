"""The key-value store is imported without beartype; whoever else wants beartype gets the real one."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from roost_server.lean_imports import import_unchecked

OFF = {"PY_KEY_VALUE_DISABLE_BEARTYPE": "true"}
STORE = """
from beartype import BeartypeConf, BeartypeStrategy
from beartype.claw import beartype_this_package
beartype_this_package(conf=BeartypeConf(violation_type=UserWarning, strategy=BeartypeStrategy.O0))
"""
DECORATORS = """
from beartype import BeartypeConf, BeartypeStrategy, beartype
enforce = beartype(conf=BeartypeConf(strategy=BeartypeStrategy.O1, violation_type=TypeError))

@enforce
def double(number):
    return 2 * number

@beartype
def triple(number):
    return 3 * number
"""
OURS = ("beartype", "key_value")


def ours():
    return {name for name in sys.modules if name.partition(".")[0] in OURS}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A store as Prefect's, and a beartype, both on the path and not imported; gives the folder."""
    known = {name: sys.modules.pop(name) for name in ours()}
    utils = tmp_path / "key_value" / "aio" / "_utils"
    utils.mkdir(parents=True)
    (tmp_path / "key_value" / "__init__.py").touch()
    (utils.parent / "__init__.py").write_text(STORE)
    (utils / "__init__.py").touch()
    (utils / "beartype.py").write_text(DECORATORS)
    (tmp_path / "beartype.py").write_text("REAL = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ours():
        del sys.modules[name]
    sys.modules.update(known)


@pytest.mark.usefixtures("packages")
def test_the_store_works_without_it_and_others_get_the_real_one():
    import_unchecked(OFF)

    store = import_module("key_value.aio._utils.beartype")
    assert (store.double(2), store.triple(2)) == (4, 6)
    assert "beartype" not in sys.modules
    assert import_module("beartype").REAL


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("environ", [{}, {"PY_KEY_VALUE_DISABLE_BEARTYPE": "false"}])
def test_where_its_checks_are_on_nothing_is_imported_before_prefect(environ):
    import_unchecked(environ)

    assert ours() == set()


def test_a_store_that_needs_more_of_it_is_left_to_the_real_import(packages):
    (packages / "key_value" / "aio" / "__init__.py").write_text("from beartype import roar\n")

    import_unchecked(OFF)

    assert ours() == set()


@pytest.mark.usefixtures("packages")
def test_one_that_is_imported_already_stays():
    real = import_module("beartype")

    import_unchecked(OFF)

    assert sys.modules["beartype"] is real
    assert "key_value" not in sys.modules

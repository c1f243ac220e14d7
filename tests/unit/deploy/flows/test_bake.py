"""An image that cannot run flows is refused when it is built."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from roost_flows import bake


@pytest.fixture
def image(tmp_path, monkeypatch):
    """An image with code and Prefect."""
    (tmp_path / "code").mkdir()
    monkeypatch.setattr(bake, "client_version", lambda: "3.9.1")
    monkeypatch.setitem(sys.modules, "roost_flows.canary", ModuleType("roost_flows.canary"))
    return {"IMAGE_ROOT": str(tmp_path)}


def test_an_image_with_code_and_prefect_is_good(image, capsys):
    assert bake.bake(image) == 0
    assert capsys.readouterr().out == "roost: flows run with Prefect 3.9.1\n"


def test_an_image_without_code_is_refused(image, tmp_path, capsys):
    (tmp_path / "code").rmdir()

    assert bake.bake(image) == 1
    assert "no folder code/. Name an existing folder in `path`" in capsys.readouterr().err


def test_a_prefect_that_cannot_be_imported_is_refused(image, monkeypatch, capsys):
    """The environment of the tests has no Prefect."""
    monkeypatch.delitem(sys.modules, "roost_flows.canary")

    assert bake.bake(image) == 1
    assert "No module named 'prefect'" in capsys.readouterr().err


def test_a_lock_without_prefect_is_refused(image, monkeypatch, capsys):
    monkeypatch.undo()

    assert bake.bake(image) == 1
    assert "requirements.txt has neither prefect nor prefect-client" in capsys.readouterr().err

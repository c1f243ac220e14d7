"""How pytest's workers share the tests: everything runs once, and what waits is spread."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from helpers.local_daemon import SCRIPTS
from helpers.scheduling import SPREAD, spread, waits

CONFTEST = f"""
import sys
from itertools import pairwise
sys.path.insert(0, {str(SCRIPTS.parent / "tests")!r})
from helpers.scheduling import GroupScheduling
def pytest_xdist_make_scheduler(config, log):
    return GroupScheduling(config, log)
"""
TESTS = """
import os, pathlib, pytest
@pytest.mark.parametrize("n", range(40))
def test_alone(n):
    note("alone")
@pytest.mark.parametrize("n", range(6))
@pytest.mark.xdist_group("together")
def test_together(n):
    note("together")
@pytest.mark.xdist_group("again")
def test_that_ends_its_worker_once():
    note("ending")
    if not pathlib.Path("ended").exists():
        pathlib.Path("ended").touch()
        os._exit(3)
@pytest.mark.xdist_group("again")
def test_after_it():
    note("after")
def note(name):
    with open("notes", "a") as notes:
        notes.write(f"{name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
PASSED = 40 + 6 + 2  # that which ends its worker is run again, as by xdist itself


@pytest.mark.parametrize(
    ("unit", "answer"),
    [
        ("e2e-test_poolers", True),
        ("tests/e2e/test_postgres.py::test_a", True),
        ("tests/flow/test_roost_up.py::test_a[x-::]", True),
        ("tests/unit/plan/test_diff.py::test_a[a@b]", False),
    ],
)
def test_groups_and_tests_of_processes_wait(unit, answer):
    assert waits(unit) is answer


def test_what_waits_is_spread_evenly_and_each_kind_keeps_its_order():
    others = [f"tests/unit/test_a.py::test_{n}" for n in range(100)]
    waiting = [f"group-{n}" for n in range(10)]

    found = list(spread(dict.fromkeys(waiting + others)))

    assert sorted(found) == sorted(waiting + others)
    assert [unit for unit in found if not waits(unit)] == others
    assert [unit for unit in found if waits(unit)] == waiting
    places = [found.index(unit) for unit in waiting]
    gaps = {after - before for before, after in pairwise(places)}
    assert gaps <= {7, 8}  # seven others and itself
    assert places[-1] < SPREAD * len(found)


@pytest.mark.parametrize("kind", ["group", "tests/unit/test_a.py::test"])
def test_units_of_one_kind_or_none_stay_as_they_are(kind):
    units = [f"{kind}-{n}" for n in range(3)]

    assert list(spread(dict.fromkeys(units))) == units
    assert list(spread({})) == []


def test_every_test_runs_once_groups_stay_together_and_a_lost_worker_is_replaced(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_all.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group: of xdist\n")

    words = ("pytest", "-p", "xdist.plugin", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", *words, "-n", "2", "--dist", "loadgroup"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"1 failed, {PASSED} passed" in done.stdout, done.stdout
    assert (
        "crashed while running 'test_all.py::test_that_ends_its_worker_once@again'" in done.stdout
    )
    notes = (tmp_path / "notes").read_text().split("\n")
    assert sum(note.startswith("alone") for note in notes) == 40
    together = [note for note in notes if note.startswith("together")]
    assert len(together) == 6
    assert len(set(together)) == 1

"""docs/security.md names tests as evidence: they exist, and none of the hostile ones is left out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))


def test_each_test_that_the_page_names_is_there_and_tests_something():
    assert NAMED
    for name in NAMED:
        assert re.search(r"^def test_", (ROOT / name).read_text("utf-8"), re.MULTILINE), name


def test_the_page_names_every_hostile_test():
    folder = ROOT / "tests" / "workflows" / "hostile"
    hostile = {str(path.relative_to(ROOT)) for path in folder.glob("test_*.py")}

    assert hostile
    assert hostile <= NAMED

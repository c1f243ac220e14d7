"""The pages say what the code has: the README's size, the gate's checks, the pages' own promises."""

from __future__ import annotations

import re

from helpers.documents import DOCS, ROOT, blocks
from roost.prefect.probe import CHECKS, OPENING

README = ROOT / "README.md"


def test_the_readme_is_a_page_that_is_read_to_its_end():
    lines = README.read_text("utf-8").splitlines()

    assert len(lines) <= 120
    assert [block.language for block in blocks(README)].count("mermaid") == 1


def test_the_comparison_in_the_readme_has_its_date():
    text = README.read_text("utf-8")
    section = text.partition("## Instead of")[2].partition("\n## ")[0]

    assert re.search(r"between \w+ and \w+ 20\d\d", section)


def test_the_concepts_name_the_gate_s_checks_in_their_order():
    text = (DOCS / "concepts.md").read_text("utf-8")
    gate = text.partition("## Gate")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `([\w ]+)` \|", gate, re.MULTILINE) == [
        check.name for check in (*CHECKS, OPENING)
    ]


def test_the_concepts_are_as_many_as_the_page_says():
    text = (DOCS / "concepts.md").read_text("utf-8")

    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 12
    assert "Twelve words." in text

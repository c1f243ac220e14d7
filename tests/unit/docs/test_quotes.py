"""The comment and the issue that pages quote are what the reports write.

`pytest --update-golden` writes the quotes, after the reports' golden files.
"""

from __future__ import annotations

import re

import pytest

from helpers.documents import ROOT

GOLDEN = ROOT / "tests" / "unit" / "report" / "golden"
QUOTE = re.compile(r"(?:^>.*\n)+", re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "golden"), [("README.md", "readme.md"), ("docs/operations.md", "drift-by-hand.md")]
)
def test_the_quote_of_a_page_is_the_report_as_it_looks(page, golden, request):
    path = ROOT / page
    text, report = path.read_text("utf-8"), (GOLDEN / golden).read_text("utf-8")
    [found] = QUOTE.findall(text)
    if request.config.getoption("--update-golden"):
        path.write_text(text.replace(found, quoted(report)), "utf-8")
    else:
        assert found == quoted(report)


def quoted(markdown):
    """Return a text as a quote in Markdown, without its hidden lines."""
    lines = [line for line in markdown.splitlines() if not line.startswith("<!--")]
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)

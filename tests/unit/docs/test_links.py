"""Every link of the pages leads somewhere, and every page is linked from the index."""

from __future__ import annotations

import pytest

from helpers.documents import DOCS, ROOT, anchors, inline, pages

PAGES = pages()


def links(page):
    return [str(token.attrs["href"]) for token in inline(page, "link_open")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page

        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_links_every_page_of_the_documentation():
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(index)}

    wanted = {page for page in PAGES if page.is_relative_to(DOCS) and page != index}
    decisions = {page for page in wanted if page.parent.name == "decisions"}
    assert wanted - decisions <= linked
    assert (DOCS / "decisions" / "README.md") in linked


def test_the_list_of_decisions_names_each_with_its_title():
    folder = DOCS / "decisions"
    listed = (folder / "README.md").read_text("utf-8")

    for page in sorted(folder.glob("0*.md")):
        title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
        number, _, words = title.partition(". ")
        assert f"{number}. [{words}]({page.name})" in listed

"""CODEOWNERS as GitHub's documentation says that it is read."""

from __future__ import annotations

import pytest

from roost.report.codeowners import MAX_BYTES, read_codeowners


def covers(pattern, path):
    return read_codeowners(f"{pattern} @a").owners_of(path) == ("@a",)


@pytest.mark.parametrize(
    ("pattern", "about", "not_about"),
    [
        ("*", ["a", "a/b", ".run/x", "a/.b/c"], []),
        ("**", ["a", "a/b/c"], []),
        ("*.js", ["a.js", "x/a.js", "x.js/y"], ["a.jsx", "js"]),
        ("/build/logs/", ["build/logs/a", "build/logs/x/a"], ["build/logs", "x/build/logs/a"]),
        ("docs/*", ["docs/a.md"], ["docs/x/a.md", "x/docs/a.md"]),
        ("apps/", ["apps/a", "x/apps/a", "x/apps/y/a"], ["apps", "myapps/a"]),
        ("/docs/", ["docs/a", "docs/x/a"], ["x/docs/a"]),
        ("/scripts", ["scripts", "scripts/a", "scripts/x/a"], ["scripts2", "x/scripts"]),
        ("**/logs", ["logs", "logs/a", "x/logs/a", "x/y/logs"], ["x/mylogs"]),
        ("/apps/github", ["apps/github", "apps/github/a"], ["apps/github2"]),
        ("scripts/roost", ["scripts/roost/a"], ["x/scripts/roost/a"]),
        ("/a/**/z", ["a/z", "a/b/z", "a/b/c/z/y"], ["z", "a/bz"]),
        ("/a/**", ["a/b", "a/b/c"], ["a"]),
        ("logs/**", ["logs/a"], ["x/logs/a"]),
        ("run", ["run", "x/run", "run/x"], ["runner"]),
        ("/r?n", ["run", "ran"], ["rn", "r/n", "ruun"]),
        (r"a\ b.txt", ["a b.txt", "x/a b.txt"], ["a", "ab.txt"]),
        ("/a.b", ["a.b"], ["axb"]),
        ("/Run", ["Run"], ["run"]),
        ("/", [], ["a", "a/b"]),
    ],
)
def test_a_pattern_is_about_what_github_takes_it_for(pattern, about, not_about):
    assert [path for path in about if not covers(pattern, path)] == []
    assert [path for path in not_about if covers(pattern, path)] == []


def test_of_the_lines_about_a_file_the_last_one_counts_and_one_without_owners_takes_them_away():
    found = read_codeowners("* @a\n/docs/ @b c@example.com # of words\n/docs/free/\n")

    assert found.owners_of("x") == ("@a",)
    assert found.owners_of("docs/x") == ("@b", "c@example.com")
    assert found.owners_of("docs/free/x") == ()
    assert found.rule_of("docs/free/x").line == 3
    assert read_codeowners("").rule_of("x") is None


@pytest.mark.parametrize(
    "line", ["!/x @b", "/x[ab] @b", r"\#x @b", "/x***y @b", "/x anna", "/x @b @", "/x @-"]
)
def test_a_line_that_github_does_not_understand_is_skipped(line):
    found = read_codeowners(f"* @a\n{line}\n")

    assert found.skipped == (2,)
    assert found.owners_of("x") == ("@a",)


def test_a_file_that_is_too_large_is_ignored():
    text = "* @a\n"
    assert read_codeowners(text + "#" * (MAX_BYTES - len(text) - 1)).owners_of("x") == ("@a",)
    assert read_codeowners(text + "#" * (MAX_BYTES - len(text))).owners_of("x") == ()

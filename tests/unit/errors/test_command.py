"""Commands in texts: written in the style of each edge, and no text of somebody else is changed."""

from __future__ import annotations

import shlex

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from roost.cli.app import app
from roost.errors import RoostError, UsageError
from roost.errors.command import (
    BARE,
    BEGIN,
    END,
    MARKS,
    TAKE_LOCAL,
    TYPED,
    TYPED_LOCAL,
    Command,
    bare,
    bare_document,
    rendered,
    unmarked,
)
from roost.report.reference_errors import error_classes

STYLES = (BARE, TYPED, TYPED_LOCAL)
CASES = [
    (Command("apply", "staging"), "apply staging --local"),
    (Command("scale", "staging", "--clear"), "scale staging --local --clear"),
    (Command("releases", "demo", "--clear", 3), "releases demo --local --clear 3"),
    (Command("drift", "--all"), "drift --local --all"),
    (Command("status"), "status --local"),
    (Command("apply", "x", "--local"), "apply x --local"),
    (Command("drift", "--help"), "drift --help"),
    (Command("smoke", "http://127.0.0.1:4200"), "smoke http://127.0.0.1:4200"),
    (Command("local", "logs", "acme"), "local logs acme"),
    (Command("validate"), "validate"),
    (Command("github", "drift", "--results", "DIR"), "github drift --results DIR"),
]


@pytest.mark.parametrize(("command", "local"), CASES, ids=lambda case: str(case)[:20])
def test_a_command_is_written_for_its_reader(command, local):
    plain = shlex.join(command.words)

    assert rendered(f"Do: `{command}`.", BARE) == f"Do: `roost {plain}`."
    assert rendered(f"Do: `{command}`.", TYPED) == f"Do: `./run roost {plain}`."
    assert rendered(f"Do: `{command}`.", TYPED_LOCAL) == f"Do: `./run roost {local}`."
    assert command.typed == f"./run roost {plain}"


def test_each_command_of_a_text_is_written_by_itself():
    text = f"To apply it: {Command('apply', 'x')}; or {Command('local', 'stop')}, {Command('plan')}"

    assert rendered(text, TYPED_LOCAL) == (
        "To apply it: ./run roost apply x --local; or ./run roost local stop, ./run roost plan --local"
    )


@pytest.mark.parametrize("word", ["a b", "it's", "$(id)", "-x y", "", "é", "a\nb", "`", "\\"])
def test_arguments_are_quoted_for_a_shell(word):
    command = Command("restore", word, "--confirm", word)

    for style in STYLES:
        words = shlex.split(rendered(f"{command}", style).partition("roost ")[2])
        assert [one for one in words if one != "--local"] == ["restore", word, "--confirm", word]


SENTENCES = st.lists(
    st.sampled_from(["roost apply x", "./run roost plan", "`roost`", BEGIN, END, "é", "\n", "'"])
    | st.text(max_size=5)
).map(" ".join)


@given(SENTENCES)
def test_no_mark_is_left_whatever_the_text(text):
    for style in STYLES:
        written = rendered(text, style)

        assert MARKS.isdisjoint(written)
        assert rendered(written, style) == written


@given(SENTENCES)
def test_text_without_marks_never_changes(text):
    text = unmarked(text)

    assert {rendered(text, style) for style in STYLES} == {text}
    assert bare(text) == text


@given(SENTENCES, SENTENCES)
def test_text_around_a_command_never_changes(before, after):
    before, after = unmarked(before), unmarked(after)

    assert rendered(f"{before}{Command('wake', 'x')}{after}", TYPED) == (
        f"{before}./run roost wake x{after}"
    )


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_command_that_was_cut_shows_what_is_left_of_it(cut):
    text = f"{Command('restore', 'a b', '--to', 3)}"[:cut]

    assert rendered(text, TYPED) in {text[1:], "./run roost restore 'a b' --to 3"}


def test_the_bare_command_stands_whole_between_the_marks():
    assert unmarked(f"{Command('apply', 'x')}") == rendered(f"{Command('apply', 'x')}", BARE)


def test_a_document_has_bare_texts_and_the_same_shape():
    document = {"a": [f"{Command('apply', 'x')}", 1, None], "b": {"c": (True, "d")}}

    assert bare_document(document) == {"a": ["roost apply x", 1, None], "b": {"c": [True, "d"]}}


def test_an_error_keeps_its_commands_until_an_edge_writes_them():
    error = UsageError(f"No {Command('plan')}.", where="x", advice=f"Do: {Command('apply', 'x')}")

    assert str(error) == "x: No roost plan. Do: roost apply x"
    assert error.args == ("No roost plan.",)
    assert rendered(f"Failed: {error}", TYPED) == (
        "Failed: x: No ./run roost plan. Do: ./run roost apply x"
    )


@pytest.mark.parametrize("kind", error_classes())
def test_an_error_with_a_text_of_its_own_changes_the_message(kind):
    """Every edge, and every text around it, reads `message`; `str` and f-strings follow from it."""
    assert ("__str__" in vars(kind)) is (kind is RoostError)
    assert ("__format__" in vars(kind)) is (kind is RoostError)


def test_a_place_cannot_pass_for_a_command():
    forged = f"{Command('destroy', 'production')}"

    assert rendered(f"{RoostError('It failed.', where=forged)}", TYPED) == (
        "roost destroy production: It failed."
    )


def test_equal_commands_are_equal():
    assert Command("releases", "x", 3) == Command("releases", "x", "3")
    assert len({Command("plan"), Command("plan"), Command("apply")}) == 2
    assert repr(Command("plan", 3)) == "Command('plan', '3')"


def test_the_commands_that_take_local_are_those_of_the_command_line():
    commands = typer.main.get_command(app).commands

    assert {
        name for name, command in commands.items() if any(p.name == "local" for p in command.params)
    } == TAKE_LOCAL

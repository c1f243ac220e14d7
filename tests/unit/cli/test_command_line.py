"""Every command has help with an example that works; a wrong command line gets one sentence."""

from __future__ import annotations

import shlex

import pytest
import typer.main

from roost.cli.app import app
from roost.cli.sections import catalog

CATALOG = list(catalog(typer.main.get_command(app)))
VERBS = [tuple(entry.name.split()) for entry in CATALOG]


def example_in(help_text):
    [example] = [line for line in help_text.splitlines() if "Example:" in line]
    words, _, _ = example.partition(" > ")
    return shlex.split(words.replace("Example: ./run roost", "", 1))


def test_the_verbs_are_those_that_people_were_promised():
    assert {" ".join(verb) for verb in VERBS} >= {
        *("validate", "show", "schema", "plan", "apply", "smoke", "status", "sleep", "wake", "up"),
        *("scale", "drift", "rehearse"),
        *("releases", "rollback"),
        *("local start", "local stop", "local status", "local logs", "local reset"),
    }


def test_help_groups_the_commands():
    sections = list(dict.fromkeys(entry.section for entry in CATALOG))

    assert sections == ["Start", "Change", "Look", "Data", "GitHub"]


@pytest.mark.parametrize(
    "group", ["", "local", "github"], ids=lambda group: group or "all commands"
)
def test_no_summary_is_cut_off_or_wrapped_at_80_columns(roost, group, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in roost(*group.split(), "--help").out.splitlines()]
    listed = dict(line.split(maxsplit=1) for line in lines if " " in line)
    shown = [entry for entry in CATALOG if entry.name.rpartition(" ")[0] == group]

    assert shown
    assert {entry.name.split()[-1]: entry.summary for entry in shown}.items() <= listed.items()
    assert max(map(len, lines)) < 80


def test_a_group_is_listed_with_its_summary(roost):
    listed = roost("--help").out

    assert "  local     Start, stop and inspect the local Fly on this machine\n" in listed
    assert "  github    Run what GitHub's workflows run\n" in listed


def test_the_catalog_has_what_a_command_s_own_help_shows(roost):
    for entry in CATALOG:
        text = roost(*entry.name.split(), "--help").out

        assert entry.summary in " ".join(text.split())
        assert f"Example: ./run {entry.example}" in " ".join(text.split())


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_has_help_with_an_example_of_a_command_line_that_is_understood(roost, verb):
    said = roost(*verb, "--help")
    example = example_in(said.out)

    assert (said.code, said.err) == (0, "")
    assert example[: len(verb)] == list(verb)
    assert roost(*example, "--help").code == 0


def test_help_names_the_command_as_it_is_typed(roost):
    said = roost("local", "start", "--help")

    assert "Usage: ./run roost local start [OPTIONS]" in said.out
    assert "Example: ./run roost local start --port 4280" in said.out
    assert "Start here: ./run roost up staging" in roost("--help").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("plna", "No such command 'plna'. Did you mean 'plan'? See: ./run roost --help"),
        ("local nope", "No such command 'nope'. See: ./run roost local --help"),
        ("--nope", "No such option: --nope. See: ./run roost --help"),
        ("plan x --nope", "No such option: --nope. See: ./run roost plan --help"),
        ("plan", "Missing argument 'ENV'. See: ./run roost plan --help"),
        ("show x y", "Got unexpected extra argument(s) (y). See: ./run roost show --help"),
        ("apply x --digest", "Option '--digest' requires an argument. See: ./run roost --help"),
    ],
)
def test_a_command_line_that_is_wrong_is_told_in_one_sentence(roost, words, sentence):
    said = roost(*words.split())

    assert (said.code, said.out, said.err) == (3, "", f"roost: {sentence}\n")


def test_a_value_of_the_wrong_kind_is_told_with_its_option(roost):
    said = roost("local", "start", "--port", "x")

    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("roost: Invalid value for '--port': ")


@pytest.mark.parametrize(("words", "command"), [("", "roost"), ("local", "roost local")])
def test_no_verb_is_wrong_and_shows_what_there_is(roost, words, command):
    said = roost(*words.split())

    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"Usage: ./run {command} [OPTIONS] COMMAND")

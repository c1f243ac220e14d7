"""Commands in texts, as they are typed here: whole, for the Fly that they are about, and nothing else."""

from __future__ import annotations

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from roost.cli.app import app
from roost.report.hints import GROUPS, ON_A_FLY, OTHERS, as_typed, insertions

COMMANDS = [
    ("To end it sooner: roost scale staging --clear", "scale staging{} --clear"),
    ("Create it: roost apply staging", "apply staging{}"),
    ("nothing is copied there yet: roost apply staging.", "apply staging{}."),
    ("Look at `roost plan staging`.", "`./run roost plan staging{}`."),
    ("(`roost backups staging` lists them)", "`./run roost backups staging{}` lists them"),
    ("remove it: roost restore demo --confirm vol_1", "restore demo{} --confirm vol_1"),
    ("Clear it: `roost releases demo --clear 3`.", "`./run roost releases demo{} --clear 3`."),
    ("Plan again: `roost plan ENV`.", "`./run roost plan ENV{}`."),
    ("Look at `roost status`.", "`./run roost status{}`."),
    ("to see all: roost drift --all", "drift{} --all"),
    ("Try roost drift staging (it changes nothing)", "drift staging{} (it"),
    ("Is it there? roost status my-env2?", "status my-env2{}?"),
    ("roost plan staging\nand more", "./run roost plan staging{}\nand"),
    ("Already so: ./run roost plan staging", ": ./run roost plan staging{}"),
]


@pytest.mark.parametrize(("text", "typed"), COMMANDS)
def test_a_command_is_written_as_it_is_typed_for_the_fly_that_it_is_about(text, typed):
    for local, option in ((True, " --local"), (False, "")):
        said = as_typed(text, local=local)

        assert typed.format(option) in said
        assert said.count("./run roost ") == 1
        assert said.replace("./run ", "").replace(" --local", "") == text.replace("./run ", "")


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("See: roost --help", "See: ./run roost --help"),
        ("See: roost drift --help", "See: ./run roost drift --help"),
        ("See: roost local --help", "See: ./run roost local --help"),
        ("Apply: roost apply x --local", "Apply: ./run roost apply x --local"),
        ("Go: `roost scale x --clear --local`", "Go: `./run roost scale x --clear --local`"),
        ("log: ./run roost local logs acme. Then", "log: ./run roost local logs acme. Then"),
        ("Stop it with: roost local stop", "Stop it with: ./run roost local stop"),
        ("Look: `roost local logs APP`", "Look: `./run roost local logs APP`"),
        ("run `roost validate` again", "run `./run roost validate` again"),
        ("Start: roost up staging (a server)", "Start: ./run roost up staging (a server)"),
        ("See: roost github --help", "See: ./run roost github --help"),
        (
            "Run `roost github drift --results DIR` first",
            "Run `./run roost github drift --results DIR` first",
        ),
        ("roost smoke http://127.0.0.1:4200", "./run roost smoke http://127.0.0.1:4200"),
        ("roost image staging --push", "./run roost image staging --push"),
        ("roost schema > x.json", "./run roost schema > x.json"),
        ("`fly logs -a acme`", "`fly logs -a acme`"),
    ],
)
def test_what_takes_no_local_or_has_it_gets_none(text, typed):
    assert as_typed(text, local=True) == typed


@pytest.mark.parametrize(
    "text",
    [
        "a/m1 is being changed by roost scale by ada (demo)",
        "a/m1 is being changed by roost apply, ci@acme.test.",
        "It is being changed by roost secrets --set by ada.",
        "Restoring vs_1 of 2026-11-25 (roost backup)",
        "roost backup (held)",
        "roost backup",
        "roost apply failed twice",
        "roost is good",
        "roost plna staging",
        "the file roost-plan staging",
        "scripts/roost plan staging",
        "myroost plan staging",
        "roost planning staging",
        "roost",
        "roost ",
        "",
    ],
)
def test_what_only_mentions_a_word_of_it_stays(text):
    assert as_typed(text, local=True) == text


def test_each_command_of_a_text_is_looked_at_by_itself():
    text = (
        "Apply: roost apply x; and nothing else: roost secrets x --set --local. Or: `roost plan x`"
    )

    assert as_typed(text, local=True) == (
        "Apply: ./run roost apply x --local; and nothing else: ./run roost secrets x --set --local. "
        "Or: `./run roost plan x --local`"
    )


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(("text", "_"), COMMANDS)
def test_to_write_it_twice_changes_nothing_more(text, _, local):
    once = as_typed(text, local=local)

    assert as_typed(once, local=local) == once


@given(
    st.lists(
        st.sampled_from(["roost", "./run", "plan", "local", "x", "`", ".", "--local", "\n"])
        | st.text(max_size=4)
    )
)
def test_whatever_the_text_it_only_grows_and_only_by_what_is_typed(words):
    text = " ".join(words)
    added = list(insertions(text, local=True))

    assert {what for _, what in added} <= {"./run ", " --local"}
    assert [place for place, _ in added] == sorted(place for place, _ in added)
    assert len(as_typed(text, local=True)) == len(text) + sum(len(what) for _, what in added)


def test_the_verbs_are_those_of_the_command_line():
    commands = typer.main.get_command(app).commands
    groups = {name for name, command in commands.items() if hasattr(command, "commands")}
    local = {
        name for name, command in commands.items() if any(p.name == "local" for p in command.params)
    }

    assert groups == GROUPS
    assert local == ON_A_FLY
    assert set(commands) - groups - local == OTHERS

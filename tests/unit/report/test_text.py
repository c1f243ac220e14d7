"""The plan on a terminal and in a pipe: the same facts, and nothing a terminal would obey."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from hypothesis import given
from rich.console import Console, Group
from rich.text import Text

from helpers.plans import UPGRADE, hostile_plans, planned
from roost.errors.command import BARE, TYPED, TYPED_LOCAL, Command
from roost.plan.cost import Cost, CostChange
from roost.prefect.probe import CheckResult
from roost.report.text import Verbatim, check_line, listing, make_console, plan_report, status_table
from roost.report.wording import cost_line, counted, one_line, short_time, shown


def sha256(text):
    """The digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def rendered(renderable, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("first-deploy", None, {}),
        ("upgrade", {}, UPGRADE),
        ("refusal", {}, {"region": "ams"}),
        ("no-changes", {}, {}),
    ],
)
def test_plans_in_80_columns(check_golden, name, before, after):
    plan, cost = planned("staging", before, after)

    check_golden(f"{name}.txt", rendered(plan_report(plan, cost)))


def test_a_pipe_gets_plain_text_of_one_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    pipe = io.StringIO()
    plan, cost = planned("staging", None, {})

    make_console(pipe).print(plan_report(plan, cost))

    assert "\x1b" not in pipe.getvalue()
    assert "create the app acme-prefect in personal" in pipe.getvalue()


def piped(*objects, width=0, style=BARE, **options):
    """What a pipe gets."""
    pipe = io.StringIO()
    make_console(pipe, width=width, style=style).print(*objects, **options)
    return pipe.getvalue()


APPLY = f"{Command('apply', 'staging')}"
ADVICE = f"Create it: {APPLY}"
WRITTEN = [
    (BARE, "Create it: roost apply staging"),
    (TYPED, "Create it: ./run roost apply staging"),
    (TYPED_LOCAL, "Create it: ./run roost apply staging --local"),
]


@pytest.mark.parametrize(
    "told",
    [
        ADVICE,
        Text(ADVICE),
        Group(Text(ADVICE)),
        Text.assemble(("Create it: ", "red"), APPLY),
        Text(one_line(ADVICE)),
    ],
    ids=["words", "text", "group", "styled", "one line"],
)
@pytest.mark.parametrize(("style", "written"), WRITTEN)
def test_a_command_is_printed_in_the_style_of_the_console(told, style, written):
    assert piped(told, style=style) == f"{written}\n"


@pytest.mark.parametrize(("style", "written"), WRITTEN)
def test_a_command_in_a_table_is_printed_in_the_same_style(style, written):
    table = status_table(("why", "next"), [("x", ADVICE)])
    listed = listing(("why",), [("x", ADVICE)], "next")

    for part in (table, listed):
        _, *lines = piped(part, style=style).splitlines()  # it may be wrapped
        assert " ".join(" ".join(lines).split()[1:]) == written


def test_a_command_keeps_its_style_and_that_of_the_text_around_it():
    terminal = io.StringIO()
    terminal.isatty = lambda: True

    make_console(terminal, style=TYPED).print(
        Text.assemble(("warning: ", "yellow"), ("see ", "red"), (APPLY, "bold"), "; then ", APPLY)
    )

    assert terminal.getvalue() == (
        "\x1b[33mwarning: \x1b[0m\x1b[31msee \x1b[0m\x1b[1m./run roost apply staging\x1b[0m"
        "; then ./run roost apply staging\n"
    )


def test_json_has_bare_commands():
    pipe = io.StringIO()

    make_console(pipe, style=TYPED_LOCAL).print_json(json.dumps({"a": [ADVICE], "é": 1}))

    assert json.loads(pipe.getvalue()) == {"a": ["Create it: roost apply staging"], "é": 1}
    assert pipe.getvalue().isascii()


@pytest.mark.parametrize(
    "text",
    ["roost apply staging :x:\n", "./run roost apply x\n", f"# {ADVICE}\n", "\ue0b0 \uf015\n"],
)
def test_text_of_somebody_else_is_printed_as_it_is(text):
    assert piped(Verbatim(text), end="", style=TYPED_LOCAL) == text


def test_a_sentence_that_only_looks_like_a_command_is_printed_as_it_is():
    text = "a person wrote: roost apply staging, `roost plan x`, ./run roost drift --all"

    assert piped(text, style=TYPED_LOCAL) == f"{text}\n"


@given(hostile_plans())
def test_no_text_reaches_the_terminal_as_a_command(plan):
    output = rendered(plan_report(plan, None), width=200)

    assert all(character.isprintable() or character == "\n" for character in output)


def test_what_looks_like_rich_s_markup_is_shown_as_it_is():
    assert "[red]x" in rendered(status_table(("machine",), [("[red]x",)]))


def test_a_check_is_one_line_and_advice_follows_a_failure():
    good = rendered(check_line(CheckResult("health", True, 0.41, 30, "200 from /api/health")))  # noqa: FBT003 - the record's own order
    bad = rendered(check_line(CheckResult("scheduler", False, 20, 20, "no run", "See the log.")))  # noqa: FBT003 - see above

    assert good == "  ok   health                 0.41 s  200 from /api/health\n"
    assert bad.splitlines()[0].startswith("  FAIL scheduler")
    assert bad.splitlines()[1].strip() == "See the log."


LIST = f"[{','.join(['1'] * 40)}]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "(none)"),
        ("", '""'),
        (True, "true"),
        (512, "512"),
        ({"port": 443}, '{"port": 443}'),
        ("a\nb\tc", r'"a\nb\tc"'),
        ("a\x1b[31mb\u202e", r'"a\u001b[31mb\u202e"'),
        ("a  b\x7f", r'"a \u0020b\u007f"'),
        ("a b", "a b"),
        ("x" * 60, "x" * 60),
        ("x" * 1234, "x" * 32 + f"\u2026 (1,234 characters, sha256 {sha256('x' * 1234)})"),
        (
            [1] * 40,
            f"[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1\u2026 (81 characters, sha256 {sha256(LIST)})",
        ),
    ],
)
def test_values_are_shown_short_and_on_one_line(value, expected):
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        (Cost(0, 0), Cost(0.2, 3.34), "$0.20 (asleep) to $3.34 (awake) a month, now nothing"),
        (Cost(0.2, 3.34), Cost(0.5, 6), "$0.50 (asleep) to $6.00 (awake) a month, now $0.20 to"),
        (Cost(0.2, 3.344), Cost(0.2, 3.341), "unchanged. Prices of 2026-08-09."),
    ],
)
def test_cost_is_said_with_what_it_was(now, then, expected):
    assert expected in cost_line(CostChange(now, then, "source", "2026-08-09"))


def test_a_cost_line_says_for_how_long_windows_keep_a_server_awake():
    cost = CostChange(Cost(0.2, 3.34), Cost(1.13, 3.34, 214.3), "source", "2026-08-09")

    assert cost_line(cost) == (
        "Cost: $1.13 (asleep, and awake in windows for 214 h) to $3.34 (awake) a month, "
        "now $0.20 to $3.34. Prices of 2026-08-09."
    )


@pytest.mark.parametrize(("low", "sleeps"), [(0.2, True), (3.34, False)])
def test_a_plan_says_what_keeps_a_server_awake_where_it_may_sleep(low, sleeps):
    plan, _ = planned("staging", None, {})
    cost = CostChange(Cost(0, 0), Cost(low, 3.34), "source", "2026-08-09")

    told = rendered(plan_report(plan, cost), width=200)

    assert ("A connected worker or serve() keeps the server awake." in told) == sleeps


def test_things_are_counted_in_english():
    assert (counted(0, "step"), counted(1, "step"), counted(2, "step")) == (
        "0 steps",
        "1 step",
        "2 steps",
    )


IDS = ("vs_123456789012345678", "vol_12345678901234567")
ROWS = [(*IDS, "2026-11-25 22:56", "before release 3, which changed very much of it (held)")]


def test_an_id_is_never_broken_and_words_stand_below_where_there_is_no_room():
    shown = rendered(listing(("snapshot", "volume", "made"), ROWS, words="why"), width=70)

    assert shown.splitlines() == [
        "snapshot               volume                 made",
        "vs_123456789012345678  vol_12345678901234567  2026-11-25 22:56",
        "  before release 3, which changed very much of it (held)",
    ]


def test_words_stand_beside_where_there_is_room_and_are_broken_between_them():
    shown = rendered(listing(("snapshot", "volume", "made"), ROWS, words="why"), width=100)

    head, first, second = shown.splitlines()
    assert head.endswith("made              why")
    assert first.endswith("2026-11-25 22:56  before release 3, which changed very")
    assert second.strip() == "much of it (held)"


def test_a_line_of_a_table_has_no_blanks_at_its_end_and_what_is_too_wide_is_not_cut_off():
    rows = [(*IDS, *IDS, "-")]
    terminal = io.StringIO()
    terminal.isatty = lambda: True

    make_console(terminal).print(listing("abcde", rows))
    folded = piped(status_table(("what", "why"), [("a" * 70, "b"), ("c", "d")]))

    assert all(line == line.rstrip() for line in terminal.getvalue().splitlines())
    assert IDS[0] + "  " + IDS[1] + "  " + IDS[0] + "  " + IDS[1] in terminal.getvalue()
    assert all(line == line.rstrip() for line in folded.splitlines())


def test_a_pipe_is_as_wide_as_is_asked_for():
    table = status_table(("why",), [("word " * 30,)])

    assert max(map(len, piped(table).splitlines())) > 60
    assert max(map(len, piped(table, width=60).splitlines())) <= 60


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2026-11-25T22:56:24+00:00", "2026-11-25 22:56"),
        ("2026-11-25T23:56:24+01:00", "2026-11-25 22:56"),
        ("", "-"),
        ("soon\x1b", r"soon\x1b"),
    ],
)
def test_times_are_told_to_the_minute_in_utc(moment, told):
    assert short_time(moment) == told

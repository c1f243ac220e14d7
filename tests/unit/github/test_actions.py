"""What a step tells its runner: one command each, whatever the text, and files nothing breaks out of."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import BadEventError, RunnerFileError
from roost.github.actions import (
    MAX_ANNOTATIONS,
    MAX_MESSAGE,
    MAX_SUMMARY,
    Annotation,
    Runner,
    cut_markdown,
    quiet,
    runner_of,
)
from roost.secret_text import SecretText

# Texts that are made of what commands are made of.
NASTY = st.text(
    st.sampled_from(":#[]%\r\n\t ,=\0\x1b\u200b\u2028\ufe0fé")
    | st.sampled_from("errosetutpvamk-")
    | st.characters()
)
INVISIBLE = re.compile("[\0\x1b\u200b\u2028\ufe0f]")


@pytest.fixture
def said():
    return []


def runner(said, **fields):
    return Runner(say=said.append, **fields)


def parsed(line):
    """Read a line as the runner does: the name, the properties and the data of a command, or None.

    As `TryParseV2` and `TryParse` of the runner's ActionCommand, of any command's name.
    """
    start = INVISIBLE.sub("", line).lstrip()
    if start.startswith("::") and (end := start.find("::", 2)) >= 0:
        name, _, properties = start[2:end].partition(" ")
        pairs = [pair.split("=", 1) for pair in properties.split(",") if pair]
        return name, {key: unescaped(value) for key, value in pairs}, unescaped(start[end + 2 :])
    if "##[" in INVISIBLE.sub("", line):
        return "old", {}, line
    return None


def unescaped(text):
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(written, meant)
    return text


def lines_of(said):
    return [line for entry in said for line in re.split(r"[\r\n]", entry)]


def test_an_annotation_has_its_place_and_its_title(said):
    runner(said).annotate(
        [Annotation("error", "no such region", "A fault", "environments/a.yaml", 3, 7)]
    )

    assert said == ["::error file=environments/a.yaml,line=3,col=7,title=A fault::no such region"]


@pytest.mark.parametrize(
    ("annotation", "line"),
    [
        (Annotation("notice", "all well"), "::notice::all well"),
        (Annotation("warning", "m", path="a", column=4), "::warning file=a::m"),
        (Annotation("warning", "m", line=3, column=4), "::warning::m"),
        (Annotation("error", "50% of\r\ntwo\nlines"), "::error::50%25 of%0Atwo%0Alines"),
        (
            Annotation("error", "a::b,c", "t: a,b", "p,q:r%"),
            "::error file=p%2Cq%3Ar%25,title=t%3A a%2Cb::a::b,c",
        ),
        (Annotation("error", "x\rset"), r"::error::x\rset"),
    ],
)
def test_an_annotation_is_escaped_as_githubs_toolkit_does(said, annotation, line):
    runner(said).annotate([annotation])

    assert said == [line]


@given(message=NASTY, title=NASTY, path=NASTY, line=st.integers(-1, 9), column=st.integers(-1, 9))
def test_whatever_the_text_an_annotation_is_one_command_and_says_what_was_meant(
    message, title, path, line, column
):
    said = []
    runner(said).annotate([Annotation("error", message, title, path, line, column)])

    [told] = lines_of(said)
    name, properties, data = parsed(told)
    assert name == "error"
    assert properties.keys() <= {"file", "line", "col", "title"}
    assert "line" in properties or "col" not in properties
    assert all(parsed(line) is None for line in data.split("\n"))
    assert told.isprintable() or "\t" in told


@given(NASTY)
def test_no_line_of_a_quiet_text_is_a_command(text):
    made = quiet(text)

    assert [line for line in re.split(r"[\r\n]", made) if parsed(line)] == []
    assert quiet(made) == made or "\\" in made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("::error::pwned", ": :error::pwned"),
        ("fine\n  ::set-output name=a::b", "fine\n  : :set-output name=a::b"),
        ("log ##[add-path]/tmp", "log # #[add-path]/tmp"),
        ("a::b stays", "a::b stays"),
        ("\u200b::error::x", r"\u200b::error::x"),
        ("\ufe0f::error::x", "\ufe0f: :error::x"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("progress\r::error::x", r"progress\r::error::x"),
    ],
)
def test_quiet_parts_what_would_begin_a_command_and_leaves_the_rest(text, made):
    assert quiet(text) == made


def test_the_worst_come_first_and_at_most_ten_of_a_kind(said):
    notices = [Annotation("notice", "n", path="a", line=1)]
    errors = [Annotation("error", str(line), path="b", line=line) for line in range(15, 0, -1)]
    warnings = [Annotation("warning", "w", path="a", line=2)]

    left_out = runner(said).annotate([*notices, *errors, *warnings])

    assert left_out == 5
    assert len(said) == MAX_ANNOTATIONS + 2
    assert said[0] == "::error file=b,line=1::1"
    assert [line.split()[0] for line in said[-2:]] == ["::warning", "::notice"]


def test_a_long_message_is_cut_before_the_runner_drops_its_end(said):
    runner(said).annotate([Annotation("error", "é" * 10_000, "t" * 1000)])

    name, properties, data = parsed(said[0])
    assert (name, len(data), len(properties["title"])) == ("error", MAX_MESSAGE, 255)


@given(NASTY)
def test_a_groups_title_is_one_line_and_the_group_always_ends(title):
    said = []
    with pytest.raises(KeyError), runner(said).group(title):
        raise KeyError

    first, last = lines_of(said)
    assert parsed(first)[0] == "group"
    assert last == "::endgroup::"


@given(NASTY)
def test_each_line_of_a_secret_is_masked_and_nothing_else_is_said(value):
    said = []
    runner(said).mask(SecretText(value))

    start = "::add-mask::"
    assert all(line.startswith(start) for line in lines_of(said))
    assert {unescaped(line.removeprefix(start)) for line in said} == {
        line for line in re.split(r"[\r\n]+", value) if line.strip()
    }


def outputs_of(text):
    """Read the file as the runner does: names, and values up to the line that is the delimiter."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, end = line.split("<<", 1)
        value = []
        while (more := next(lines)) != end:
            value.append(more)
        found[name] = "\n".join(value)
    return found


@given(NASTY)
def test_an_output_is_what_was_given_whatever_it_holds(tmp_path_factory, value):
    file = tmp_path_factory.mktemp("outputs") / "output"
    told = runner([], output_path=str(file))
    told.output("one", value)
    one_end = file.read_bytes().decode().split("\n")[0].partition("<<")[2]
    told.output("two", f"{value}\n{one_end}\nthree=4")

    meant = value.encode("utf-8", "backslashreplace").decode()
    assert outputs_of(file.read_bytes().decode()) == {
        "one": meant,
        "two": f"{meant}\n{one_end}\nthree=4",
    }


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a<<b", "1st"])
def test_an_output_has_a_plain_name(name):
    with pytest.raises(ValueError, match="no name of an output"):
        runner([]).output(name, "v")


def test_a_summary_is_added_to_and_ends_below_githubs_limit(tmp_path):
    file = tmp_path / "summary"
    told = runner([], summary_path=str(file))
    told.summary("# One")
    told.summary("ä" * 70 + "\n" + "line of ä\n" * 200_000)

    text = file.read_text(encoding="utf-8")
    assert text.startswith("# One\n\nä")
    assert len(text.encode()) <= MAX_SUMMARY
    assert text.endswith("has all of it._\n")
    assert "line of ä\n\n_The rest is left out" in text


def test_what_a_full_summary_has_no_room_for_is_told_with_where_it_is(tmp_path):
    file = tmp_path / "summary"
    told = runner([], summary_path=str(file))
    told.summary("x" * (MAX_SUMMARY - 4))
    told.summary("y" * 1000, rest="The artifact has it.")
    told.summary("z" * 1000)

    text = file.read_text(encoding="utf-8")
    assert text.endswith("GitHub shows no longer summary. The artifact has it._\n")
    assert len(text) < 2**20


@given(st.text(), st.integers(0, 400))
def test_a_cut_text_is_within_its_limit(text, limit):
    text = text * 20
    made = cut_markdown(text, limit)

    assert len(made.encode("utf-8", "backslashreplace")) <= limit
    assert made == text or "left out" in made or not made


def test_files_that_cannot_be_written_are_told(tmp_path):
    told = runner([], summary_path=str(tmp_path), output_path=str(tmp_path))

    with pytest.raises(RunnerFileError, match="GITHUB_OUTPUT"):
        told.output("a", "b")
    with pytest.raises(RunnerFileError, match="GITHUB_STEP_SUMMARY"):
        told.summary("a")


def test_without_the_runners_files_nothing_is_written():
    runner([]).output("a", "b")
    runner([]).summary("a")


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000]
)
def test_an_event_that_is_junk_is_told(tmp_path, junk):
    (tmp_path / "event").write_bytes(junk)

    with pytest.raises(BadEventError, match="GITHUB_EVENT_PATH"):
        runner([], event_path=str(tmp_path / "event")).event()


@pytest.mark.parametrize("path", ["", "/nowhere/event.json", "/", "a\0b"])
def test_an_event_that_is_not_there_is_told(path):
    with pytest.raises(BadEventError, match="GITHUB_EVENT_PATH"):
        runner([], event_path=path).event()


def test_an_event_is_read(tmp_path):
    (tmp_path / "event").write_text(json.dumps({"number": 42}))

    assert runner([], event_path=str(tmp_path / "event")).event() == {"number": 42}


def test_a_runner_is_known_by_its_variables(capsys):
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_RUN_ID": "7",
        "GITHUB_SERVER_URL": "https://github.com",
    }

    assert runner_of({**environ, "GITHUB_ACTIONS": "false"}) is None
    found = runner_of(environ)
    found.annotate([Annotation("notice", "hello")])

    assert found.run_url == "https://github.com/acme/infra/actions/runs/7"
    assert capsys.readouterr().out == "::notice::hello\n"

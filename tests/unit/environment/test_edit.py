"""Values are changed in the text of an environment file, and no other byte of it."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.environment.edit import CannotEditError, edit
from roost.environment.scale import SECTIONS
from roost.environment.yaml_source import read_source

MORE = {"memory_mb": 1024}


def edited(text, fields):
    return edit(dedent(text).encode(), fields).decode()


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        pytest.param(
            """\
            app: acme # ours
            machine:
              # enough for now
              memory_mb: 512   # MB
              size: 'shared-cpu-1x'
            """,
            {"memory_mb": 1024, "size": "shared-cpu-2x"},
            """\
            app: acme # ours
            machine:
              # enough for now
              memory_mb: 1024   # MB
              size: 'shared-cpu-2x'
            """,
            id="values, with their comments and quotes",
        ),
        pytest.param(
            """\
            machine: {size: "shared-cpu-1x", memory_mb: 512} # small
            scaling: {count: 1}
            """,
            {"memory_mb": 1024, "size": "shared-cpu-2x", "count": 2},
            """\
            machine: {size: "shared-cpu-2x", memory_mb: 1024} # small
            scaling: {count: 2}
            """,
            id="values between braces",
        ),
        pytest.param(
            """\
            machine:
                size: shared-cpu-1x # one
                # what follows

            scaling:
                concurrency: {soft_limit: 1}
                autostop: stop
                # sleeps late
                idle_after: 1h
            """,
            {"memory_mb": 1024, "count": 2},
            """\
            machine:
                size: shared-cpu-1x # one
                memory_mb: 1024
                # what follows

            scaling:
                concurrency: {soft_limit: 1}
                autostop: stop
                # sleeps late
                idle_after: 1h
                count: 2
            """,
            id="a key that is missing, below its neighbours",
        ),
        pytest.param(
            """\
            scaling:
              concurrency:
                soft_limit: 80 # soft
                  # deeper

            access: {}
            """,
            {"count": 2},
            """\
            scaling:
              concurrency:
                soft_limit: 80 # soft
                  # deeper
              count: 2

            access: {}
            """,
            id="a key below a nested section",
        ),
        pytest.param(
            "machine: {size: shared-cpu-1x}\nscaling: {}\n",
            {"memory_mb": 1024, "count": 2},
            "machine: {size: shared-cpu-1x, memory_mb: 1024}\nscaling: {count: 2}\n",
            id="a key between braces",
        ),
        pytest.param(
            """\
            machine: {
              size: shared-cpu-1x
            }
            """,
            MORE,
            """\
            machine: {
              size: shared-cpu-1x,
              memory_mb: 1024
            }
            """,
            id="a key between braces on lines of their own",
        ),
        pytest.param(
            """\
            machine: {
              size: shared-cpu-1x,  # small
            }
            """,
            MORE,
            """\
            machine: {
              size: shared-cpu-1x,  # small
              memory_mb: 1024,
            }
            """,
            id="a key between braces after a comma and a comment",
        ),
        pytest.param(
            """\
            machine: {
              size: shared-cpu-1x  # small
            }
            """,
            MORE,
            """\
            machine: {
              memory_mb: 1024,
              size: shared-cpu-1x  # small
            }
            """,
            id="a key between braces before a comment",
        ),
        pytest.param(
            """\
            app: acme

            # what runs
            prefect:
                version: 3.8.8
                # no settings yet

            # how it sleeps
            scaling:
                count: 1
            """,
            MORE,
            """\
            app: acme

            # what runs
            prefect:
                version: 3.8.8
                # no settings yet

            machine:
                memory_mb: 1024

            # how it sleeps
            scaling:
                count: 1
            """,
            id="a section that is missing, in its place and with a blank line",
        ),
        pytest.param(
            "app: acme\nprefect:\n  version: 3.8.8\nsecrets: [A]\n",
            MORE,
            "app: acme\nprefect:\n  version: 3.8.8\nmachine:\n  memory_mb: 1024\nsecrets: [A]\n",
            id="a section that is missing, without blank lines",
        ),
        pytest.param(
            "app: acme\nsecrets:\n- A\n- B\n",
            {"count": 2},
            "app: acme\nscaling:\n  count: 2\nsecrets:\n- A\n- B\n",
            id="a section before a list",
        ),
        pytest.param(
            "app: acme\nprefect:\n  settings:\n    A: |\n      text\n\n# the end\n",
            {"count": 2},
            "app: acme\nprefect:\n  settings:\n    A: |\n      text\nscaling:\n  count: 2\n\n# the end\n",
            id="a section below a text of several lines",
        ),
        pytest.param(
            "app: acme",
            MORE,
            "app: acme\nmachine:\n  memory_mb: 1024",
            id="a last line without an end",
        ),
        pytest.param(
            "---\napp: acme\nmachine:\n  size: shared-cpu-1x\n...\n",
            MORE,
            "---\napp: acme\nmachine:\n  size: shared-cpu-1x\n  memory_mb: 1024\n...\n",
            id="marks of a document",
        ),
        pytest.param(
            "app: acme\r\nmachine:\r\n  size: shared-cpu-1x # one\r\nscaling: {count: 1}\r\n",
            {"memory_mb": 1024, "count": 2},
            "app: acme\r\nmachine:\r\n  size: shared-cpu-1x # one\r\n  memory_mb: 1024\r\n"
            "scaling: {count: 2}\r\n",
            id="line ends of Windows",
        ),
        pytest.param(
            '{"app": "acme", "machine": {"size": "shared-cpu-1x"}}\n',
            {"memory_mb": 1024, "size": "shared-cpu-2x", "count": 2},
            '{"app": "acme", "machine": {"size": "shared-cpu-2x", "memory_mb": 1024}, '
            '"scaling": {"count": 2}}\n',
            id="JSON",
        ),
        pytest.param(
            '{"app": "acme",\n "machine": {}\n}\n',
            {"size": "shared-cpu-2x"},
            '{"app": "acme",\n "machine": {size: shared-cpu-2x}\n}\n',
            id="empty braces in JSON",
        ),
        pytest.param(
            """\
            x-limits: &limits {soft_limit: 80}
            machine: &machine
              memory_mb: &memory 512
            scaling:
              concurrency: *limits
            """,
            {"memory_mb": 1024, "count": 2},
            """\
            x-limits: &limits {soft_limit: 80}
            machine: &machine
              memory_mb: &memory 1024
            scaling:
              concurrency: *limits
              count: 2
            """,
            id="anchors that are used elsewhere, or not at all",
        ),
        pytest.param(
            "x-base: &base {size: shared-cpu-1x}\nmachine:\n  <<: *base\n  memory_mb: 512\n",
            MORE,
            "x-base: &base {size: shared-cpu-1x}\nmachine:\n  <<: *base\n  memory_mb: 1024\n",
            id="a value beside a merge",
        ),
        pytest.param(
            "# Gr\u00f6\u00dfe \U0001f414\napp: acme\nmachine: {memory_mb: 512} # \u00fc\n",
            MORE,
            "# Gr\u00f6\u00dfe \U0001f414\napp: acme\nmachine: {memory_mb: 1024} # \u00fc\n",
            id="letters of several bytes",
        ),
        pytest.param(
            "? machine\n: memory_mb: 512\n",
            MORE,
            "? machine\n: memory_mb: 1024\n",
            id="a key with a question mark",
        ),
    ],
)
def test_only_the_value_changes(before, fields, after):
    assert edited(before, fields) == dedent(after)


def test_the_mark_of_utf_8_stays():
    assert edit(b"\xef\xbb\xbfmachine: {memory_mb: 512}\n", MORE) == (
        b"\xef\xbb\xbfmachine: {memory_mb: 1024}\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x-m: &m 512\nmachine:\n  memory_mb: *m\n", 1, "memory_mb is shared through an anchor"),
        ("x-m: &m {memory_mb: 512}\nmachine: *m\n", 1, "machine is shared through an anchor"),
        ("machine: &m {memory_mb: 512}\nx-m: *m\n", 1, "machine is shared through an anchor"),
        ("x-m: &m {memory_mb: 512}\nmachine:\n  <<: *m\n", 3, "memory_mb comes through <<"),
        ("x-m: &m {memory_mb: 512}\nmachine:\n  <<: [*m]\n", 3, "memory_mb comes through <<"),
        ("x-a: &a\n  machine: {memory_mb: 512}\n<<: *a\n", 3, "machine comes through <<"),
        ("machine:\n  size: |-\n    shared-cpu-1x\n", 3, "machine.size is not written on one line"),
        ("prefect:\n  settings:\n    A: |\n      x", 3, "the last line has no line break"),
        ("machine:\n  ? size\n  : shared-cpu-1x\n", 2, "nothing can be added below size"),
    ],
)
def test_what_would_change_more_than_the_value_is_refused_with_the_way_out(text, line, words):
    fields = {"size": "shared-cpu-2x"} if "|-" in text else MORE

    with pytest.raises(CannotEditError) as refused:
        edit(text.encode(), fields)

    assert words in str(refused.value)
    assert abs(refused.value.line - line) <= 1


# Texts that load, in every style that a person might use.

COMMENTS = st.sampled_from(["", "", "  # why", " #", "\t# a: {b"])
ABOVE = st.sampled_from([(), (), ("# above: it",), ("",), ("", "# above", "  # deeper")])
KEYS = {"machine": ("size", "memory_mb"), "scaling": ("count", "min_machines_running", "autostop")}
VALUES = {
    "size": ["shared-cpu-1x", "'shared-cpu-2x'", '"shared-cpu-4x"'],
    "memory_mb": ["512", "1024", "&m 2048"],
    "count": ["1", "20"],
    "min_machines_running": ["0", "1"],
    "autostop": ["stop", "'off'"],
}
OTHERS = {
    "app": ["app: acme", "'app': acme", "app:\n  acme"],
    "prefect": ["prefect: {version: 3.8.8}", "prefect:\n  settings:\n    A: |\n      x\n\n      y"],
    "secrets": ["secrets:\n- A\n- B", "secrets: [A,\n  B]", "secrets:\n  - {name: A}"],
    "x-free": ["x-free: \u00e4\U0001f414", "x-free: &x [1]\nx-too: *x", "x-free:"],
}
BREAKS = st.sampled_from(["\n", "\r\n"])


@st.composite
def sections(draw, name):
    """One section, in one of the styles there are."""
    keys = draw(st.lists(st.sampled_from(KEYS[name]), unique=True))
    pairs = [f"{key}: {draw(st.sampled_from(VALUES[key]))}" for key in keys]
    if not pairs or draw(st.booleans()):
        if draw(st.booleans()):
            return f"{name}: {{{', '.join(pairs)}}}{draw(COMMENTS)}"
        inner = "".join(f"  {pair},{draw(COMMENTS)}\n" for pair in pairs)
        return f"{name}: {{{draw(COMMENTS)}\n{inner}}}"
    indent = " " * draw(st.integers(1, 4))
    lines = [f"{name}:{draw(COMMENTS)}"]
    for pair in pairs:
        lines += [f"{indent}{line}" if line else line for line in draw(ABOVE)]
        lines.append(f"{indent}{pair}{draw(COMMENTS)}")
    return "\n".join(lines)


@st.composite
def texts(draw):
    """A whole file."""
    parts = [draw(st.sampled_from(OTHERS[name])) for name in OTHERS if draw(st.booleans())]
    parts += [draw(sections(name)) for name in KEYS if draw(st.booleans())]
    parts = draw(st.permutations(parts)) or ["app: acme"]
    written = "\n".join("\n".join((*draw(ABOVE), part)) for part in parts)
    ending = draw(st.sampled_from(["", "\n", "\n\n", "\n# the end", "\n...\n"]))
    if parts[-1].endswith("y"):  # a text of several lines whose last one has no end is refused
        ending = ending or "\n"
    text = (draw(st.sampled_from(["", "---\n"])) + written + ending).replace("\n", draw(BREAKS))
    return text.encode("utf-8-sig" if draw(st.booleans()) else "utf-8")


NEW = {
    "size": st.sampled_from(["performance-1x", "shared-cpu-8x"]),
    "memory_mb": st.sampled_from([256, 131072]),
    "count": st.integers(0, 20),
    "min_machines_running": st.integers(0, 20),
}


@given(texts(), st.sampled_from(list(NEW)), st.data())
def test_all_bytes_but_those_of_the_value_stay_and_it_loads_as_meant(content, field, data):
    value = data.draw(NEW[field])
    before = read_source("x", content)
    assert before.faults == ()

    after = edit(content, {field: value})

    gone, come = changed_between(content, after)
    section = before.data.get(SECTIONS[field], {})
    expected = {**before.data, SECTIONS[field]: {**section, field: value}}
    assert read_source("x", after).data == expected
    if field in section:
        assert gone in str(section[field])
        assert come in str(value)
    else:
        assert gone == ""
        key = f"{field}:{value}"
        words = [key, f"{SECTIONS[field]}:{key}"][SECTIONS[field] not in before.data]
        # What came may begin with letters that stood there before, and end without them.
        assert sorted(come.translate(NO_SPACE)) == sorted(words)


def same_so_far(one, other):
    """Count the bytes at the beginning that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


NO_SPACE = str.maketrans("", "", " \r\n,{}")


def changed_between(before, after):
    """Return what went and what came in its place: all else is the same, byte by byte."""
    start = same_so_far(before, after)
    same = same_so_far(before[start:][::-1], after[start:][::-1])
    return tuple(content[start : len(content) - same].decode() for content in (before, after))

"""Invalid input: values of any type, and valid documents with one error."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

# What a terminal, a log, a table or a comment would obey instead of show.
NASTY = (
    "\x1b[2J\x1b[31m",
    "\x00",
    "\u202egnp.exe",
    "\ud800",
    "\r\nfly-request-id: forged",
    "\n::error title=forged::forged",
    "| a | b |",
    "`` ` ``",
    "<script>alert(1)</script>",
    "[link](javascript:alert(1))",
    "@everyone #1",
    "{{7*7}}${HOME}%s%n",
    "a" * 3000,
    "9" * 5000,
    "9" * 400 + "h",
    "-1",
    "true",
    "",
    " ",
    "../../etc/passwd",
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30, -(10**300), 0.5, 1e308]),
    st.sampled_from(NASTY),
    st.text(max_size=20),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(NASTY), inner, max_size=3)
    ),
    max_leaves=6,
)
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]


def places(document: Any, path: Path = ()) -> Iterator[Path]:
    """Return the path of every value in a document, the document itself first."""
    yield path
    if isinstance(document, dict | list):
        inner = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in inner:
            yield from places(value, (*path, key))


@st.composite
def spoilt(draw: st.DrawFn, document: Any) -> Any:
    """A valid document with one place replaced, removed, doubled or added to."""
    path = draw(st.sampled_from(list(places(document))))
    junk = draw(JSON | st.just(DEEP))
    if not path:
        return junk
    spoiled = copy.deepcopy(document)
    holder = spoiled
    for part in path[:-1]:
        holder = holder[part]
    match draw(st.sampled_from(["replace", "remove", "double", "wrap", "add"])):
        case "replace":
            holder[path[-1]] = junk
        case "remove":
            del holder[path[-1]]
        case "double":
            holder[path[-1]] = [holder[path[-1]], holder[path[-1]]]
        case "wrap":
            holder[path[-1]] = {"value": holder[path[-1]]}
        case _ if isinstance(holder, list):
            holder.append(junk)
        case _:
            holder[draw(st.text(max_size=8))] = junk
    return spoiled

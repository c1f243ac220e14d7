"""Plans for reports: real ones of two environments, and ones with arbitrary text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from helpers.environments import environment_file
from helpers.pretend_fly import applied
from roost.plan.cost import CostChange, cost_change, read_prices
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.live import Live
from roost.plan.steps import Change, DestroyMachine, Plan, Refusal, Risk

PRICES = Path(__file__).parents[2] / "deploy" / "prices.yaml"
IMAGE = "registry.fly.io/acme-prefect:prefect-{version}-0123456789ab"


def planned(
    name: str, before: dict[str, Any] | None, after: dict[str, Any]
) -> tuple[Plan, CostChange]:
    """Plan from an applied environment, or from nothing, to another one, and price it."""

    def desired_of(fields: dict[str, Any]) -> Any:
        file = environment_file(name=name, **fields)
        version = file.environment.prefect.version
        return desired_state(file, IMAGE.format(version=version))

    live = Live() if before is None else applied(desired_of(before))
    desired = desired_of(after)
    return diff(desired, live), cost_change(read_prices(PRICES), desired, live)


UPGRADE = {
    "machine": {"memory_mb": 1024},
    "prefect": {"version": "3.9.0", "settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}},
}
_PIECES = (
    *("|", "`", "``", "\\", "\n", "\r\n", "<img src=x>", "</code>", "<!--", "@octocat", "#1"),
    *("[a](https://evil.example)", "https://evil.example", "www.evil.example", "a@b.example"),
    *("![x](y)", "**", "_", "~~", "$x$", "&lt;", "&#124;", "- ", "# ", "x", " ", "\x1b[31m"),
    *("\u202e", "[red]", "</details>", "---", "|---|", "\u00e9"),
)
_PIECE_SIGNS = {chr(0xE000 + number): piece for number, piece in enumerate(_PIECES)}
_TEXT_SIGNS = {chr(0xF000 + number) for number in range(len(_PIECES))}
_TEXT_LENGTH = 5


def _hostile(signs: str, characters: str) -> str:
    """Return a text in which a sign stands for a piece, or for the next of any characters."""
    left = characters
    parts = []
    for sign in signs:
        if sign in _TEXT_SIGNS:
            part, left = left[:_TEXT_LENGTH], left[_TEXT_LENGTH:]
        else:
            part = _PIECE_SIGNS[sign]
        parts.append(part)
    return "".join(parts)


# Half of its parts are pieces and half are any text. It is drawn as two strings: for hypothesis each is one
# choice, and a list of parts a dozen, which take more time than what is tested.
HOSTILE = st.builds(
    _hostile,
    st.text("".join([*_PIECE_SIGNS, *sorted(_TEXT_SIGNS)]), max_size=6),
    st.text(max_size=6 * _TEXT_LENGTH),
)


@st.composite
def hostile_plans(draw: st.DrawFn) -> Plan:
    """A plan in which every text is arbitrary."""
    steps = tuple(
        DestroyMachine(
            key=draw(HOSTILE),
            summary=draw(HOSTILE),
            risk=draw(st.sampled_from(Risk)),
            changes=tuple(
                Change(draw(HOSTILE), draw(HOSTILE | st.none()), draw(HOSTILE | st.booleans()))
                for _ in range(draw(st.integers(0, 2)))
            ),
            machine="m",
        )
        for _ in range(draw(st.integers(0, 10)))
    )
    refusals = draw(st.lists(st.builds(Refusal, HOSTILE, HOSTILE, HOSTILE), max_size=2))
    warnings = draw(st.lists(HOSTILE, max_size=2))
    return Plan(draw(HOSTILE), "acme", steps, tuple(refusals), tuple(warnings), {})

"""How the commands that texts name are typed here. Pure.

A text says `roost plan staging`. Whoever reads it in a terminal types `./run roost plan staging`, and
with `--local` where that is the Fly he is looking at: without it the same words ask Fly.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TYPED = "./run roost"
"""What is typed for `roost`, in the checkout."""
ON_A_FLY = frozenset(
    {
        *("plan", "apply", "secrets", "smoke", "status", "sleep", "wake", "backup", "backups"),
        *("scale", "releases", "rollback", "restore", "destroy", "drift", "connect"),
    }
)
"""The verbs that take `--local`."""
OTHERS = frozenset(
    {"validate", "show", "init", "doctor", "image", "schema", "up", "rehearse", "cost"}
)
GROUPS = frozenset({"local", "github"})
_NEEDS_NO_NAME = frozenset({"validate", "init", "doctor", "schema", "up", "drift", "cost"})

Insertion = tuple[int, str]

_VERBS = "|".join(sorted(ON_A_FLY | OTHERS))
# After "by" it is no advice: who holds a machine is told so ("changed by roost scale by ada").
_MENTION = re.compile(r"(?<![\w./-])(?<!\bby )(?P<run>\./run )?roost (?=(?P<rest>[^`\n]*))")
_VERB = re.compile(rf"(?:--help|(?:{'|'.join(sorted(GROUPS))})(?: [a-z-]+)?|{_VERBS})(?![\w-])")
_NAME = re.compile(r" [^\s`,;()>|-](?:[^\s`,;()]*[^\s`,;():.?!'\"])?")
_BREAK = re.compile(r"[.,;:?!)'\"]|\s*$|\s+[-(>|]")
_OPTION = re.compile(r" -")
_SETTLED = re.compile(r" --(?:local|help)\b")
_SENTENCE = re.compile(r"[.;)](?= |$)")


def as_typed(text: str, *, local: bool) -> str:
    """Write every command that a text names as it is typed here.

    Args:
        text: what a person reads.
        local: whether what it is about is on the local Fly.
    """
    for place, words in reversed(tuple(insertions(text, local=local))):
        text = f"{text[:place]}{words}{text[place:]}"
    return text


def insertions(text: str, *, local: bool) -> Iterator[Insertion]:
    """Return what `as_typed` puts into a text, and where; nothing of the text itself changes."""
    for found in _MENTION.finditer(text):
        ticked = text[: found.start()].endswith("`")
        place = _place_of_options(found["rest"], ticked=ticked)
        if place is None:
            continue
        if not found["run"]:
            yield found.start(), TYPED.removesuffix("roost")
        if local and _is_on_a_fly(found["rest"], ticked=ticked):
            yield found.end() + place, " --local"


def _place_of_options(rest: str, *, ticked: bool) -> int | None:
    """Return where the options of a command begin; None where words are no command.

    Args:
        rest: what stands behind `roost`, to the end of the line or of the backticks.
        ticked: whether it stands in backticks; such words are a command whatever follows.
    """
    verb = _VERB.match(rest)
    if verb is None:
        return None
    if name := _NAME.match(rest, verb.end()):
        return name.end() if ticked or _BREAK.match(rest, name.end()) else None
    alone = verb[0].split()[0] in _NEEDS_NO_NAME | GROUPS | {"--help"}
    ends = _BREAK if alone else _OPTION
    return verb.end() if ticked or ends.match(rest, verb.end()) else None


def _is_on_a_fly(rest: str, *, ticked: bool) -> bool:
    """Return whether a command takes `--local`, and does not have it."""
    ending = None if ticked else _SENTENCE.search(rest)
    command = rest[: ending.start()] if ending else rest
    return command.split()[0] in ON_A_FLY and not (_SETTLED.search(command) or "://" in command)

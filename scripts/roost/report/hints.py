"""Write the commands in a text as they are typed in this checkout. Pure.

A text says `roost plan staging`. In a terminal that is typed as `./run roost plan staging`, and with
`--local` if the text is about the local Fly, as the command would otherwise ask Fly.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TYPED = "./run roost"
"""The form of `roost` in the checkout."""
ON_A_FLY = frozenset(
    {
        *("plan", "apply", "secrets", "smoke", "status", "sleep", "wake", "backup", "backups"),
        *("scale", "releases", "rollback", "restore", "destroy", "drift", "connect"),
        "tick",
    }
)
"""The commands that take `--local`."""
OTHERS = frozenset(
    {"validate", "show", "init", "doctor", "image", "schema", "up", "rehearse", "cost"}
)
GROUPS = frozenset({"local", "github"})
_NEEDS_NO_NAME = frozenset({"validate", "init", "doctor", "schema", "up", "drift", "cost", "tick"})

Insertion = tuple[int, str]

_VERBS = "|".join(sorted(ON_A_FLY | OTHERS))
# After "by" it is not a hint but the holder of a lease ("changed by roost scale by ada").
_MENTION = re.compile(r"(?<![\w./-])(?<!\bby )(?P<run>\./run )?roost (?=(?P<rest>[^`\n]*))")
_VERB = re.compile(rf"(?:--help|(?:{'|'.join(sorted(GROUPS))})(?: [a-z-]+)?|{_VERBS})(?![\w-])")
_NAME = re.compile(r" [^\s`,;()>|-](?:[^\s`,;()]*[^\s`,;():.?!'\"])?")
_BREAK = re.compile(r"[.,;:?!)'\"]|\s*$|\s+[-(>|]")
_OPTION = re.compile(r" -")
_SETTLED = re.compile(r" --(?:local|help)\b")
_SENTENCE = re.compile(r"[.;)](?= |$)")


def as_typed(text: str, *, local: bool) -> str:
    """Return a text with every command as it is typed here.

    Args:
        text: text for a person.
        local: whether it is about the local Fly.
    """
    for place, words in reversed(tuple(insertions(text, local=local))):
        text = f"{text[:place]}{words}{text[place:]}"
    return text


def insertions(text: str, *, local: bool) -> Iterator[Insertion]:
    """Yield what `as_typed` inserts into a text, and where; the text itself is unchanged."""
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
    """Return where the options of a command go; None if the words are not a command.

    Args:
        rest: the text after `roost`, to the end of the line or of the backticks.
        ticked: whether it is in backticks, and so a command whatever follows.
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
    """Return whether a command takes `--local` and does not have it yet."""
    ending = None if ticked else _SENTENCE.search(rest)
    command = rest[: ending.start()] if ending else rest
    return command.split()[0] in ON_A_FLY and not (_SETTLED.search(command) or "://" in command)

"""Convert a value of SQLite into PostgreSQL's, and back, and write both alike. Pure.

SQLite has no UUIDs, times, booleans or JSON: Prefect keeps them there as text and numbers. What the
other database would refuse is refused here, with a reason that holds no value.

`source_text` and `target_text` write the two sides of a copy in one canonical form, each from what
its own database returns. A wrong conversion therefore makes the two differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from typing import Any, NoReturn
from uuid import UUID

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - SQLAlchemy keeps an interval as a time without a zone
# As Prefect writes a time to SQLite, and as PostgreSQL shows one in UTC.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00(?::?00)?)?", re.ASCII
)
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Python writes no whole number of more digits; PostgreSQL takes 131,072.
_MOST_DIGITS = 4_000
_SHORT_JSON = 5_000
"""Characters of a JSON text whose canonical form is remembered: it is needed twice, and many rows
have the same."""


class Kind(Enum):
    """What a column holds."""

    UUID = "uuid"
    TIME = "time"
    INTERVAL = "interval"
    BOOLEAN = "boolean"
    JSON = "json"
    TEXT = "text"
    CHOICE = "choice"
    INTEGER = "integer"
    FLOAT = "float"


KINDS = {
    "uuid": Kind.UUID,
    "timestamptz": Kind.TIME,
    "interval": Kind.INTERVAL,
    "bool": Kind.BOOLEAN,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
    "varchar": Kind.TEXT,
    "text": Kind.TEXT,
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int8": Kind.INTEGER,
    "float8": Kind.FLOAT,
}
"""By PostgreSQL's name of a type. These are all that Prefect's migrations use, beside enumerations."""
_BITS = {"int2": 16, "int4": 32, "int8": 64}


class RefusedValueError(ValueError):
    """PostgreSQL does not take a value; says why without the value."""


@dataclass(frozen=True)
class Column:
    """A column of a table in PostgreSQL.

    Args:
        name: its name, the same in SQLite.
        type: PostgreSQL's name of its type.
        kind: what it holds.
        required: whether it must have a value.
        length: the most characters of a text; 0 for any number.
        choices: the values of an enumeration.
    """

    name: str
    type: str
    kind: Kind
    required: bool = False
    length: int = 0
    choices: frozenset[str] = frozenset()


def convert(column: Column, raw: Any) -> Any:
    """Return the value to send to PostgreSQL.

    Args:
        column: the column in PostgreSQL.
        raw: what SQLite returned: None, an int, a float, or bytes for a text.

    Raises:
        RefusedValueError: PostgreSQL would refuse the value, or it is none of the column's kind.
    """
    if raw is None:
        if column.required:
            raise RefusedValueError("is empty, and PostgreSQL requires a value")
        return None
    return _CONVERSIONS[column.kind](column, raw)


def sqlite_value(column: Column, text: str | None) -> Any:
    """Return the value to write to SQLite, in the form in which Prefect writes it there.

    Args:
        column: the column in PostgreSQL.
        text: what PostgreSQL returned for `select_expression`.

    Raises:
        RefusedValueError: SQLite cannot keep the value.
    """
    return None if text is None else _SQLITE_VALUES[column.kind](text)


def source_text(column: Column, raw: Any) -> str | None:
    """Return the canonical text of a value of SQLite that `convert` took; None for no value."""
    return None if raw is None else _SOURCE_TEXTS[column.kind](raw)


def target_text(column: Column, text: str | None) -> str | None:
    """Return the canonical text of a value as `select_expression` has PostgreSQL write it."""
    return None if text is None else _TARGET_TEXTS[column.kind](text)


def select_expression(column: Column) -> str:
    """Return the SQL that has PostgreSQL write a column's value as text."""
    name = quoted(column.name)
    if column.kind is Kind.INTERVAL:
        return f"extract(epoch FROM {name})::text"
    return f"{name}::text"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


class ContentHash:
    """A hash of a table's rows that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, values: Iterable[str | None]) -> None:
        """Add one row, as the canonical texts of its values."""
        # With the length before each text, no two rows have the same form.
        parts = ("~" if value is None else f"{len(value)}:{value}" for value in values)
        digest = hashlib.blake2b("".join(parts).encode(errors="surrogatepass"), digest_size=16)
        self._sum = (self._sum + int.from_bytes(digest.digest())) % 2**128
        self.rows += 1

    @property
    def digest(self) -> str:
        """The hash, in 32 digits."""
        return f"{self._sum:032x}"


def json_text(raw: Any) -> str:
    """Return a JSON text; SQLite turns one that is only a number into a number."""
    return repr(raw) if isinstance(raw, int | float) else _text(raw)


def canonical_json(text: str) -> str:
    """Return a JSON text with sorted keys and numbers in one form.

    Raises:
        RefusedValueError: it is no JSON, or has what PostgreSQL's JSON does not know.
    """
    return _known_json(text) if len(text) <= _SHORT_JSON else _sorted_json(text)


@lru_cache(maxsize=1024)
def _known_json(text: str) -> str:
    return _sorted_json(text)


def _sorted_json(text: str) -> str:
    try:
        found = json.loads(text, parse_float=_number, parse_constant=_no_constant)
        return json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except RefusedValueError:
        raise
    except RecursionError:
        raise RefusedValueError("is JSON of too many levels") from None
    except ValueError:
        raise RefusedValueError("is no JSON") from None


def _number(text: str) -> int | list[str]:
    """Return a form of a JSON number that is the same for 1e2, 100.0 and 100."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise RefusedValueError("is JSON with a number that is too large") from None
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise RefusedValueError("is JSON with a number that is too large")
    if number == number.to_integral_value():
        return int(number)
    return ["number", format(number.normalize(), "f")]


def _no_constant(name: str) -> NoReturn:
    raise RefusedValueError(f"is JSON with {name}, which is no number of JSON")


def _json(column: Column, raw: Any) -> str:
    text = json_text(raw)
    written = canonical_json(text)
    if column.type == "jsonb":
        if _NUL_ESCAPE.search(written):
            raise RefusedValueError("is JSON with a NUL character")
        if not written.isascii():
            _check_characters(written, "is JSON with half a character (a lone surrogate)")
    return text


def _check_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedValueError(what) from None


def _text(raw: Any) -> str:
    if not isinstance(raw, bytes):
        raise RefusedValueError("is a number, and no text")
    if b"\0" in raw:
        raise RefusedValueError("has a NUL character")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise RefusedValueError("is no UTF-8") from None


def _boolean(_: Column, raw: Any) -> bool:
    return bool(_within(raw, 0, 1, "no boolean"))


def _integer(column: Column, raw: Any) -> int:
    most = 2 ** (_BITS[column.type] - 1)
    return _within(raw, -most, most - 1, f"no number of {column.type}")


def _chosen(column: Column, raw: Any) -> str:
    text = _text(raw)
    if column.length and len(text) > column.length:
        raise RefusedValueError(f"has {len(text)} characters, and PostgreSQL takes {column.length}")
    if column.kind is Kind.CHOICE and text not in column.choices:
        raise RefusedValueError(f"is none of the values of {column.type}")
    return text


def _within(raw: Any, least: int, most: int, what: str) -> int:
    if not isinstance(raw, int) or not least <= raw <= most:
        raise RefusedValueError(f"is {what}")
    return raw


def _float(_: Column, raw: Any) -> float:
    if not isinstance(raw, int | float):
        raise RefusedValueError("is no number")
    return float(raw)


def _time(text: str) -> datetime:
    found: datetime = _parsed(datetime.fromisoformat, text, "no time")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _interval(text: str) -> timedelta:
    found: datetime = _parsed(datetime.fromisoformat, text, "no length of time")
    return found.replace(tzinfo=None) - EPOCH


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _parsed(parse: Any, text: str, what: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise RefusedValueError(f"is {what}") from None


def _time_text(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None:  # another zone
        return _time(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"{found[1]} {found[2]}.{(found[3] or '').ljust(6, '0')}"


def _bare_uuid(text: str) -> str:
    return text.lower().replace("-", "")


def _kept_float(text: str) -> float:
    number = float(text)
    if number != number:  # noqa: PLR0124 - NaN alone differs from itself
        raise RefusedValueError("is NaN, which SQLite keeps as no value")
    return number


def _kept_interval(text: str) -> str:
    """Return an interval as SQLAlchemy keeps it in SQLite: a time since 1970."""
    try:
        length = timedelta(microseconds=int(Decimal(text) * 1_000_000))
        return (EPOCH + length).isoformat(sep=" ", timespec="microseconds")
    except OverflowError:
        raise RefusedValueError("is a length of time that SQLite cannot keep") from None


_CONVERSIONS: dict[Kind, Callable[[Column, Any], Any]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.UUID: lambda _, raw: _parsed(UUID, _text(raw), "no UUID"),
    Kind.TIME: lambda _, raw: _time(_text(raw)),
    Kind.INTERVAL: lambda _, raw: _interval(_text(raw)),
    Kind.JSON: _json,
    Kind.TEXT: _chosen,
    Kind.CHOICE: _chosen,
}
_SOURCE_TEXTS: dict[Kind, Callable[[Any], str]] = {
    Kind.BOOLEAN: lambda raw: "t" if raw else "f",
    Kind.INTEGER: str,
    Kind.FLOAT: lambda raw: repr(float(raw)),
    Kind.UUID: lambda raw: _bare_uuid(_text(raw)),
    Kind.TIME: lambda raw: _time_text(_text(raw)),
    Kind.INTERVAL: lambda raw: str(_microseconds(_interval(_text(raw)))),
    Kind.JSON: lambda raw: canonical_json(json_text(raw)),
    Kind.TEXT: _text,
    Kind.CHOICE: _text,
}
_TARGET_TEXTS: dict[Kind, Callable[[str], str]] = {
    Kind.BOOLEAN: lambda text: text[:1],
    Kind.INTEGER: str,
    Kind.FLOAT: lambda text: repr(float(text)),
    Kind.UUID: _bare_uuid,
    Kind.TIME: _time_text,
    Kind.INTERVAL: lambda text: str(int(Decimal(text) * 1_000_000)),
    Kind.JSON: canonical_json,
    Kind.TEXT: str,
    Kind.CHOICE: str,
}
_SQLITE_VALUES: dict[Kind, Callable[[str], Any]] = {
    Kind.BOOLEAN: lambda text: int(text[:1] == "t"),
    Kind.INTEGER: int,
    Kind.FLOAT: _kept_float,
    Kind.UUID: str,
    Kind.TIME: _time_text,
    Kind.INTERVAL: _kept_interval,
    Kind.JSON: str,
    Kind.TEXT: str,
    Kind.CHOICE: str,
}

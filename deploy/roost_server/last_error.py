"""The server's last error without secrets, for the gate's report of a server that fails its checks.

Fly has no API for logs, so without this a failed check could only refer to the log. `server_report`
returns the error while the server runs, and `exit_reason` stores it when the machine ends.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

HIDDEN = "[hidden]"
LONGEST = 300
SHORTEST_VALUE = 4  # a shorter value is not treated as a secret
SHORTEST_PLACE = 2
# Variables of the system, of Fly, of Roost, and Prefect's settings: they hold no secret, except for
PLAIN = re.compile(
    r"PATH|HOME|USER|PWD|OLDPWD|HOSTNAME|SHLVL|TERM|LANG|LC_\w+|TZ|TMPDIR|IMAGE_ROOT|DO_NOT_TRACK"
    r"|PRIMARY_REGION|PYTHON\w*|PY_\w+|GPG_KEY|UV_\w+|SSL_CERT_\w+|FLY_\w+|ROOST_\w+|PREFECT_\w+",
    re.ASCII | re.IGNORECASE,
)
# those whose name suggests a secret, or that may hold one among other values.
GUARDED = re.compile(
    r"PASS|SECRET|TOKEN|(?<!GPG_)KEY|AUTH|URL|DSN|CREDENTIAL|HEADER|CONNECT_ARGS"
    r"|DATABASE$|^PREFECT_(SERVER|API|CLIENT)$",
    re.IGNORECASE,
)
# Parts of an address: redacted as whole words only, because short ones occur inside other words.
PLACES = re.compile(r"DATABASE_(HOST|USER|NAME)$", re.IGNORECASE)
# Addresses that are public.
OPEN = frozenset({"PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_SERVER_UI_API_URL"})
# uvicorn's last line about a failed start; the line before it has the reason.
WITHOUT_REASON = "Application startup failed. Exiting."
# The line of a traceback that names the exception; an SQL statement may follow it.
RAISED = re.compile(r"[A-Za-z_][\w.]*: .*", re.ASCII)


def redactor(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that replaces an environment's secrets and their parts in a text."""
    secrets: set[str] = set()
    places: set[str] = set()
    for name, value in environ.items():
        if PLACES.search(name):
            places.add(value)
        elif is_guarded(name):
            _take_apart(value, secrets, places)
    patterns = [
        *(re.escape(way) for way in _spellings(secrets)),
        *(rf"(?<![\w.]){re.escape(way)}(?!\w|\.\w)" for way in _spellings(places, SHORTEST_PLACE)),
    ]
    if not patterns:
        return str
    hidden = re.compile("|".join(patterns))
    return lambda text: hidden.sub(HIDDEN, text)


def is_guarded(name: str) -> bool:
    """Return whether a variable may hold a secret: every variable not known to hold none."""
    if name.upper() in OPEN:
        return False
    return not PLAIN.fullmatch(name) or bool(GUARDED.search(name))


def _take_apart(value: str, secrets: set[str], places: set[str]) -> None:
    """Add a value, its lines, and the parts of an address, a login or JSON in it."""
    secrets.add(value)
    secrets.update(line.strip() for line in value.splitlines())
    if "://" in value:
        _take_address_apart(value, secrets, places)
    elif value[:1] in ("{", "["):
        for leaf in _leaves(value):
            _take_apart(leaf, secrets, places)
    else:
        secrets.add(value.partition(":")[2])  # the password of user:password


def _take_address_apart(url: str, secrets: set[str], places: set[str]) -> None:
    """Add the parts of an address; its password may hold any character, including @ and /."""
    rest = url.partition("://")[2]
    for cut in (rest.partition("@"), rest.rpartition("@")):
        if cut[1]:
            user, _, password = cut[0].partition(":")
            secrets.update((password, unquote(password)))
            places.update((user, unquote(user)))
        where, _, query = cut[2].partition("?")
        secrets.update(value for _, value in parse_qsl(query))
        hosts, _, database = where.partition("/")
        # The path of a webhook is its password.
        places.update(unquote(part) for part in (database, *database.split("/")))
        places.update(re.sub(r":\d*$", "", host) for host in hosts.split(","))


def _leaves(text: str) -> Iterator[str]:
    """Return every string in a JSON text; none if the text is not JSON."""
    try:
        left = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, str):
            yield value


def _spellings(values: Iterable[str], shortest: int = SHORTEST_VALUE) -> list[str]:
    """Return the spellings of values in messages, the longest first."""
    ways: set[str] = set()
    for value in values:
        safe = value.encode("utf-8", "replace").decode()
        ways |= {value, repr(value)[1:-1], json.dumps(value)[1:-1]}
        ways |= {quote(safe, safe=""), quote_plus(safe)}
    return sorted((way for way in ways if len(way) >= shortest), key=len, reverse=True)


@dataclass
class LastError:
    """The last error that was logged; the process has one.

    Args:
        hide: removes secrets from a text.
        text: the error in one line of at most 300 characters; empty before the first error.
    """

    hide: Callable[[str], str] = lambda _: HIDDEN
    text: str = field(default="", init=False)

    def learn_secrets(self, environ: Mapping[str, str]) -> None:
        """Redact the secrets of this environment from now on."""
        self.hide = redactor(environ)

    def watch(self) -> None:
        """Record every error that is logged from now on, by any logger and handler."""
        make = logging.getLogRecordFactory()

        def make_and_note(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if record.levelno >= logging.ERROR:
                self.note(describe(record))
            return record

        logging.setLogRecordFactory(make_and_note)

    def note(self, text: str) -> None:
        """Record a text as the last error."""
        if text and text != WITHOUT_REASON:
            self.text = self.redact(text)

    def redact(self, text: str) -> str:
        """Return a text in one line, without secrets, cut to its length after redaction."""
        words = " ".join(self.hide(text).split())
        plain = "".join(char if char.isprintable() else "?" for char in words)
        return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 3]}..."


LAST_ERROR = LastError()


@dataclass
class FailureLog:
    """Logs a failure of what is tried again: once, for as long as it stays the same.

    Args:
        what: what failed, as the beginning of a sentence.
    """

    what: str
    _logged: str = field(default="", init=False)

    def note(self, error: Exception) -> None:
        """Log a failure, without secrets, unless it was the last one as well."""
        text = f"{self.what} ({name_failure(error)})"
        if text != self._logged:
            self._logged = text
            print(f"roost: {LAST_ERROR.redact(text)}; trying again", flush=True)

    def clear(self) -> None:
        """Note that it succeeded: the next failure is logged, even the same one."""
        self._logged = ""


def describe(record: logging.LogRecord) -> str:
    """Return a log record in one line; a malformed record raises nothing."""
    try:
        message = first_cause(record.getMessage())
    except Exception:  # noqa: BLE001 - arguments that do not fit their format raise anything
        message = str(record.msg)
    failure = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if failure is None:
        return message
    return f"{message} ({name_failure(failure)})"


def name_failure(failure: BaseException) -> str:
    """Return an exception's type and first line; later lines may hold a statement and its rows."""
    if isinstance(failure, BaseExceptionGroup):
        return name_failure(failure.exceptions[0])
    try:
        first = next(iter(str(failure).splitlines()), "")
    except Exception:  # noqa: BLE001 - an exception may fail to describe itself
        first = ""
    return f"{type(failure).__name__}: {first}" if first else type(failure).__name__


def first_cause(message: str) -> str:
    """Return the line of a message that has the cause: the exception at the end of a traceback."""
    lines = [line for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and any(line.lstrip(" |+").startswith("Traceback") for line in lines):
        return next((line for line in reversed(lines) if RAISED.fullmatch(line)), lines[-1])
    return lines[0] if lines else ""

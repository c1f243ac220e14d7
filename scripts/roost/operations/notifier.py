"""Tell people: find the addresses that an environment names, and send to all at once.

Sending never fails a command: what did not arrive is a warning, which names the secret and the service.
It never holds one up either: after `LIMIT_S` seconds an address counts as one that did not answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roost.apply.secret_values import find_addresses
from roost.apply.sops import SopsFiles, Unread
from roost.environment.files import EnvironmentFile
from roost.environment.flow_units import split_name
from roost.environment.load import load_files
from roost.errors import RoostError
from roost.operations.context import Context
from roost.report.notice import Message, Notice, message_of
from roost.secret_text import SecretText

LIMIT_S = 10.0
"""How long all addresses together may take, the start of the process that sends included."""
SOCKET_S = 4.0
"""How long one connection, and one part of an answer, may take."""
SOMEWHERE = "its address"
_SENDER = Path(__file__).with_name("send_messages.py")
# What a connection needs. The rest, with values and tokens, stays out.
_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)


@dataclass(frozen=True)
class Address:
    """An address that is told something: the secret's name, and its value or why it has none."""

    name: str
    value: SecretText | Unread


@dataclass(frozen=True)
class Delivery:
    """How sending to one address ended; `why` is empty if the message was accepted."""

    name: str
    place: str
    why: str = ""

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.why:
            return f"{self.name}: the message was not delivered to {self.place}: {self.why}"
        return f"{self.name}: the message was delivered to {self.place}."


def listens(file: EnvironmentFile, notice: Notice) -> bool:
    """Return whether any address of an environment is told a fact."""
    return any(notice.fact in entry.on for entry in file.environment.notify)


def heard(files: Sequence[EnvironmentFile], notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Return the notices that somebody is told."""
    return tuple(n for n in notices if any(listens(file, n) for file in _about(files, n)))


def addressed(
    context: Context, files: Sequence[EnvironmentFile], notices: Iterable[Notice]
) -> Mapping[Address, tuple[Notice, ...]]:
    """Return what each address is told; one address that several environments name is told once."""
    values: dict[str, Mapping[str, SecretText | Unread]] = {}
    told: dict[Address, tuple[Notice, ...]] = {}
    for notice in notices:
        for address in dict.fromkeys(_of_notice(context, files, notice, values)):
            told[address] = (*told.get(address, ()), notice)
    return told


def _of_notice(
    context: Context,
    files: Sequence[EnvironmentFile],
    notice: Notice,
    values: dict[str, Mapping[str, SecretText | Unread]],
) -> Iterator[Address]:
    seen: set[SecretText] = set()
    for file in _about(files, notice):
        for entry in file.environment.notify:
            if notice.fact not in entry.on:
                continue
            if file.name not in values:
                values[file.name] = _values(context, file)
            value = values[file.name][entry.url_secret.name]
            if isinstance(value, SecretText):
                if value in seen:
                    continue
                seen.add(value)
            yield Address(entry.url_secret.name, value)


def _about(files: Sequence[EnvironmentFile], notice: Notice) -> tuple[EnvironmentFile, ...]:
    """Return the environments a notice is about: all, where it names none or one without a file."""
    name = split_name(notice.environment)[0]
    return tuple(file for file in files if file.name == name) or tuple(files)


def _values(context: Context, file: EnvironmentFile) -> Mapping[str, SecretText | Unread]:
    found = find_addresses(
        file.environment, context.environ, SopsFiles(file.repository, context.environ)
    )
    return {**found.found, **found.missing}


def send(
    told: Mapping[Address, Sequence[Notice]], environ: Mapping[str, str]
) -> tuple[Delivery, ...]:
    """Send each address its message, all at once, and return how that ended.

    Args:
        told: what each address is told.
        environ: the environment, for what a connection needs: proxies, certificates.
    """
    unread = [
        Delivery(address.name, SOMEWHERE, f"{address.value.why}. {address.value.advice}")
        for address in told
        if isinstance(address.value, Unread)
    ]
    known = [
        (address.name, address.value, message_of(notices))
        for address, notices in told.items()
        if isinstance(address.value, SecretText)
    ]
    return (*unread, *(_sent(known, environ) if known else ()))


def _sent(
    known: Sequence[tuple[str, SecretText, Message]], environ: Mapping[str, str]
) -> Iterator[Delivery]:
    wanted = [
        {"url": value.reveal(), "title": message.title, "body": message.body}
        for _, value, message in known
    ]
    lines, why = _run(json.dumps({"socket_s": SOCKET_S, "messages": wanted}), environ)
    ended = {line["number"]: line for line in map(json.loads, lines)}
    for number, (name, _, _) in enumerate(known):
        found = ended.get(number, {"place": SOMEWHERE, "why": why})
        yield Delivery(name, found["place"], found["why"])


def _run(asked: str, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Run the process that sends; it is killed after LIMIT_S seconds.

    Returns:
        Its whole lines, and why a message has none.
    """
    passed_on = {name: value for name, value in environ.items() if name.upper() in _PASSED_ON}
    why = "the program that sends ended before that."
    try:
        with subprocess.Popen(  # noqa: S603 - our own program, with this Python
            [sys.executable, "-P", str(_SENDER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback may quote an address
            env=passed_on,
            text=True,
            encoding="utf-8",
        ) as sender:
            try:
                output, _ = sender.communicate(asked, timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                sender.kill()
                output, _ = sender.communicate()
                why = f"there was no answer within {LIMIT_S:.0f} s."
            except BaseException:
                sender.kill()
                raise
    except OSError as error:  # no memory, no process or no program left
        return [], f"the program that sends did not run ({error.strerror or type(error).__name__})."
    return [line for line in output.splitlines(keepends=True) if line.endswith("\n")], why


def tell(
    context: Context, files: Sequence[EnvironmentFile], notices: Sequence[Notice], *, silent: bool
) -> tuple[str, ...]:
    """Tell notices to those who listen; return a warning for each address that was not reached.

    Args:
        context: the variables with the values.
        files: the environments.
        notices: the facts.
        silent: leave out addresses whose value is not here, as on a person's own computer.
    """
    told = addressed(context, files, notices)
    if silent:
        told = {a: n for a, n in told.items() if isinstance(a.value, SecretText)}
    return tuple(found.sentence for found in send(told, context.environ) if found.why)


@contextmanager
def telling(
    context: Context, name: str, notice: Callable[[str, RoostError], Notice | None], *, local: bool
) -> Iterator[None]:
    """Tell of an error of a command that people run from a schedule of their own, and raise it again.

    Nobody is told of the local Fly, or where the address has no value here.

    Args:
        context: the variables with the values, and where warnings go.
        name: the environment.
        notice: makes what is told of an error; None for one that is not told.
        local: whether this is about the local Fly.
    """
    try:
        yield
    except RoostError as error:
        if not local:
            for warning in _told(context, name, partial(notice, name, error)):
                context.progress.print(f"Warning: {warning}", markup=False, soft_wrap=True)
        raise


def _told(context: Context, name: str, notice: Callable[[], Notice | None]) -> tuple[str, ...]:
    """Make and send what is told of an environment; return warnings, whatever fails."""
    try:
        if (found := notice()) is None:
            return ()
        files = [file for file in load_files([context.environments]).files if file.name == name]
        return tell(context, files, [found], silent=True) if files else ()
    except Exception as fault:  # noqa: BLE001 - it must not take the place of the error that it tells
        return (f"nobody was told of this error: sending failed ({type(fault).__name__}).",)

"""Generated secret values: the login of a local Fly, and every secret of a rehearsal.

They are stored beside the local Fly's state, readable only by the user, because the gate of the
next run logs in with the same value. `roost local reset` deletes them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from roost.environment.model import AUTH_SECRET
from roost.secret_text import SecretText


def generated_secrets_file(home: Path) -> Path:
    """Return the file that stores the values."""
    return home / "throwaway-secrets.json"


class GeneratedSecrets:
    """The values generated so far, by app and name.

    Args:
        home: the local Fly's folder.
        make: generates the value of a name.
    """

    def __init__(self, home: Path, make: Callable[[str], str] | None = None) -> None:
        self._path = generated_secrets_file(home)
        self._make = make or make_value

    def values(
        self, app: str, names: Iterable[str]
    ) -> tuple[dict[str, SecretText], frozenset[str]]:
        """Return a value for each name, and the names whose value is new and must be shown once."""
        book = self._read()
        given = book.setdefault(app, {})
        new = frozenset(name for name in names if name not in given)
        given.update({name: self._make(name) for name in sorted(new)})
        if new:
            self._write(book)
        return {name: SecretText(given[name]) for name in names}, new

    def known(self, app: str, names: Iterable[str]) -> dict[str, SecretText]:
        """Return the values that exist already; generate none."""
        given = self._read().get(app, {})
        return {name: SecretText(given[name]) for name in names if name in given}

    def forget(self) -> None:
        """Delete all values."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            book: dict[str, dict[str, str]] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return book

    def _write(self, book: dict[str, dict[str, str]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(book, file)
        aside.replace(self._path)


def make_value(name: str) -> str:
    """Return a random value; the login has the `user:password` form that Prefect asks for."""
    value = secrets.token_urlsafe(12)
    return f"admin:{value}" if name == AUTH_SECRET else value

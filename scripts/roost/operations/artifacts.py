"""JSON files by which one job of a workflow tells another one what it found, one an environment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roost.errors import BadDocumentError

MOST_BYTES = 8 * 2**20


def write_document(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write a document, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.{os.getpid()}.new"
    aside.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    aside.replace(folder / f"{name}.json")


def read_documents(folder: Path) -> dict[str, Any]:
    """Read all documents of a folder and below it, by environment; none where there is no folder.

    Raises:
        BadDocumentError: a file is no JSON object, or is too large.
    """
    return {name: read_document(path) for name, path in document_paths(folder).items()}


def document_paths(folder: Path) -> dict[str, Path]:
    """Return where the documents of a folder and below it are, by environment."""
    return {path.stem: path for path in document_files(folder)}


def document_files(folder: Path) -> list[Path]:
    """Return every file of a folder and below it that may be a document."""
    return sorted(folder.rglob("[!._]*.json")) if folder.is_dir() else []


def read_document(path: Path) -> dict[str, Any]:
    """Read one document, never more of it than one may have.

    Raises:
        BadDocumentError: it is no JSON object, or is too large.
    """
    content = _content(path)
    try:
        document = json.loads(content) if len(content) <= MOST_BYTES else None
    except (ValueError, RecursionError) as error:
        raise _bad(path, "it cannot be read") from error
    if not isinstance(document, dict):
        raise _bad(path, "it is no JSON object, or is too large")
    return document


def document_hash(path: Path) -> str:
    """Return a hash of a document, by which a reader knows it for the one that was written.

    Raises:
        BadDocumentError: it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    """Return what is in a file, and of one that is too large enough to see that."""
    try:
        if not path.resolve().is_file():
            raise _bad(path, "it is no file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise _bad(path, "it cannot be read") from error


def _bad(path: Path, why: str) -> BadDocumentError:
    return BadDocumentError(
        f"What another job left does not help: {why}.",
        where=str(path),
        advice="See that job's log, then run the workflow again.",
    )

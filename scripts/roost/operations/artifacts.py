"""JSON files that pass results from one job of a workflow to another, one file an environment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roost.errors import BadDocumentError
from roost.errors.command import bare_document

MOST_BYTES = 8 * 2**20


def write_document(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write a document atomically, with the commands in its texts as `roost ...`."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.{os.getpid()}.new"
    aside.write_text(
        json.dumps(bare_document(document), indent=1, sort_keys=True), encoding="utf-8"
    )
    aside.replace(folder / f"{name}.json")


def read_documents(folder: Path) -> dict[str, Any]:
    """Return all documents below a folder, by environment; none if there is no folder.

    Raises:
        BadDocumentError: a file is not a JSON object, or is too large.
    """
    return {name: read_document(path) for name, path in document_paths(folder).items()}


def document_paths(folder: Path) -> dict[str, Path]:
    """Return the paths of the documents below a folder, by environment."""
    return {path.stem: path for path in document_files(folder)}


def document_files(folder: Path) -> list[Path]:
    """Return every file below a folder that may be a document."""
    return sorted(folder.rglob("[!._]*.json")) if folder.is_dir() else []


def read_document(path: Path) -> dict[str, Any]:
    """Return one document; read no more than its maximum size.

    Raises:
        BadDocumentError: it is not a JSON object, or is too large.
    """
    content = _content(path)
    try:
        document = json.loads(content) if len(content) <= MOST_BYTES else None
    except (ValueError, RecursionError) as error:
        raise _bad(path, "it cannot be read") from error
    if not isinstance(document, dict):
        raise _bad(path, "it is not a JSON object, or is too large")
    return document


def document_hash(path: Path) -> str:
    """Return the SHA-256 of a document, so that a reader can check that it was not replaced.

    Raises:
        BadDocumentError: it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    """Return the content of a file; at most one byte more than the maximum."""
    try:
        if not path.resolve().is_file():
            raise _bad(path, "it is not a file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise _bad(path, "it cannot be read") from error


def _bad(path: Path, why: str) -> BadDocumentError:
    return BadDocumentError(
        f"The file of another job cannot be used: {why}.",
        where=str(path),
        advice="See that job's log, then run the workflow again.",
    )

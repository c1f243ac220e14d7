"""What the job that plans hands to the job that comments: documents, and its word for each of them.

Other jobs of the same run carry out a pull request's own code, and can leave an artifact of any
name, or put theirs in another one's place. The outputs of a job are its own. So the documents come
as files, their hashes as an output, and a file without its hash is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.environment.names import name_fault
from roost.errors import UsageError
from roost.github.actions import Runner
from roost.operations.artifacts import document_files, document_hash, read_document

ENVIRONMENTS, PLANNED = "ENVIRONMENTS", "PLANNED"
"""The variables in which a job is told the environments that change, and the hashes of their plans."""
OPEN = "OPEN"
"""The variable in which a job is told the environments that change and are not protected."""
PROTECTED, REST = "PROTECTED", "REST"
"""Those that are protected, and those that the run has no job for."""
OUTPUT = "planned"


@dataclass(frozen=True)
class Handed:
    """What came of the job that plans.

    Args:
        documents: by environment, what it wrote.
        lost: environments whose document it wrote, and that is not there as it wrote it.
        strangers: files that it did not write.
    """

    documents: Mapping[str, dict[str, Any]]
    lost: frozenset[str] = frozenset()
    strangers: tuple[str, ...] = ()


def hand_over(runner: Runner, results: Path, names: Iterable[str]) -> None:
    """Give the hashes of the documents that stand for these environments as an output."""
    hashes = {name: document_hash(results / f"{name}.json") for name in names}
    runner.output(OUTPUT, json.dumps(hashes))


def named(environ: Mapping[str, str], variable: str = ENVIRONMENTS) -> tuple[str, ...]:
    """Return the environments that change, as the job that compared said; none where it said nothing.

    Raises:
        UsageError: it is no list of names.
    """
    found = _read(environ, variable, [])
    if not isinstance(found, list) or not all(map(_is_name, found)):
        raise _bad(variable, "a list of environments")
    return tuple(found)


def receive(environ: Mapping[str, str], folder: Path, names: Iterable[str]) -> Handed:
    """Read what the job that plans wrote about these environments, and nothing else.

    Raises:
        UsageError: what it said of its documents is not there to be read.
        BadDocumentError: it wrote something else than a document.
    """
    said = _read(environ, PLANNED, {})
    if not isinstance(said, dict):
        raise _bad(PLANNED, "hashes by environment")
    paths = {name: folder / f"{name}.json" for name in names if name in said}
    good = {n for n, p in paths.items() if p.is_file() and document_hash(p) == said[n]}
    documents = {name: read_document(paths[name]) for name in sorted(good)}
    theirs = {name for name, found in documents.items() if found.get("environment") != name}
    strangers = [path for path in document_files(folder) if path not in paths.values()]
    return Handed(
        {name: found for name, found in documents.items() if name not in theirs},
        frozenset({*paths} - good | theirs),
        tuple(str(path.relative_to(folder)) for path in strangers),
    )


def _read(environ: Mapping[str, str], name: str, otherwise: object) -> Any:
    written = environ.get(name)
    try:
        return json.loads(written) if written else otherwise
    except (ValueError, RecursionError):
        raise _bad(name, "JSON") from None


def _is_name(found: object) -> bool:
    return isinstance(found, str) and not name_fault(found)


def _bad(name: str, wanted: str) -> UsageError:
    return UsageError(
        f"{name} is not {wanted}.",
        where=name,
        advice="Hand on the output of the job before, as plan.yml and deploy.yml do.",
    )

"""Pass plans from the job Plan to the job Comment, as files whose hashes are an output of Plan.

Other jobs of the same run execute a pull request's own code, and can upload an artifact of any name
or replace another one. Nobody but a job can set its outputs. So a file counts only where the output
has its hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.environment.flow_units import split_name
from roost.environment.names import FILE_NAME, name_fault
from roost.errors import UsageError
from roost.github.actions import Runner
from roost.operations.artifacts import document_files, document_hash, read_document

ENVIRONMENTS, PLANNED = "ENVIRONMENTS", "PLANNED"
"""Variables of a job with the environments that change, and with the hashes of their plans."""
OPEN = "OPEN"
"""The variable with the environments that change and are not protected."""
PROTECTED, REST = "PROTECTED", "REST"
"""Variables with those that are protected, and with those that the run has no job for."""
OUTPUT = "planned"


@dataclass(frozen=True)
class ReceivedPlans:
    """The results of the job Plan.

    Args:
        documents: its documents, by environment.
        lost: environments whose document is missing or was changed.
        strangers: files that the job did not write.
    """

    documents: Mapping[str, dict[str, Any]]
    lost: frozenset[str] = frozenset()
    strangers: tuple[str, ...] = ()


def hand_over(runner: Runner, results: Path, names: Iterable[str]) -> None:
    """Set the output with the hashes of these environments' documents."""
    hashes = {name: document_hash(results / f"{name}.json") for name in names}
    runner.output(OUTPUT, json.dumps(hashes))


def named(environ: Mapping[str, str], variable: str = ENVIRONMENTS) -> tuple[str, ...]:
    """Return the environments in a variable, which the job Changed set; none where it is empty.

    Raises:
        UsageError: the variable is no list of names.
    """
    found = _read(environ, variable, [])
    if not isinstance(found, list) or not all(map(_is_name, found)):
        raise _bad(variable, "a list of environments")
    return tuple(found)


def planned_names(environ: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Return environments, each with the flow servers of it that the job Plan planned.

    Raises:
        UsageError: the variable with the hashes cannot be read.
    """
    said = _hashes(environ)
    return tuple(
        unit
        for name in names
        for unit in (name, *sorted(key for key in said if split_name(key)[0] == name != key))
    )


def receive(environ: Mapping[str, str], folder: Path, names: Iterable[str]) -> ReceivedPlans:
    """Read the documents that the job Plan wrote about these environments, and no other file.

    Raises:
        UsageError: the variable with the hashes cannot be read.
        BadDocumentError: a file with the right hash is no document.
    """
    said = _hashes(environ)
    paths = {name: folder / f"{name}.json" for name in names if name in said}
    good = {n for n, p in paths.items() if p.is_file() and document_hash(p) == said[n]}
    documents = {name: read_document(paths[name]) for name in sorted(good)}
    theirs = {name for name, found in documents.items() if found.get("environment") != name}
    strangers = [path for path in document_files(folder) if path not in paths.values()]
    return ReceivedPlans(
        {name: found for name, found in documents.items() if name not in theirs},
        frozenset({*paths} - good | theirs),
        tuple(str(path.relative_to(folder)) for path in strangers),
    )


def _hashes(environ: Mapping[str, str]) -> dict[str, Any]:
    said = _read(environ, PLANNED, {})
    if not isinstance(said, dict) or not all(map(_is_unit_name, said)):
        raise _bad(PLANNED, "hashes by environment")
    return said


def _read(environ: Mapping[str, str], name: str, otherwise: object) -> Any:
    written = environ.get(name)
    try:
        return json.loads(written) if written else otherwise
    except (ValueError, RecursionError):
        raise _bad(name, "JSON") from None


def _is_unit_name(found: object) -> bool:
    if not isinstance(found, str):
        return False
    environment, flow = split_name(found)
    return not name_fault(environment) and (not flow or FILE_NAME.fullmatch(flow) is not None)


def _is_name(found: object) -> bool:
    return isinstance(found, str) and not name_fault(found)


def _bad(name: str, wanted: str) -> UsageError:
    return UsageError(
        f"{name} is not {wanted}.",
        where=name,
        advice="Pass on the output of the job before, as plan.yml and deploy.yml do.",
    )

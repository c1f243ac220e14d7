"""Check that the waker that an environment names is deployed by the environment that it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from roost.environment.files import EnvironmentFile
from roost.environment.waker_unit import deploys_waker
from roost.environment.yaml_source import Source
from roost.errors import Fault

Sibling = Callable[[EnvironmentFile, str], EnvironmentFile | Path | None]
"""Returns another environment of a file's folder: its path if it has faults, None without a file."""


def waker_faults(
    files: Sequence[EnvironmentFile], sources: Mapping[str, Source], sibling: Sibling
) -> Iterator[Fault]:
    """Find files whose waker is deployed by nobody, or is another one there.

    A host with faults of its own is not compared; those faults are reported with it.
    """
    for file in files:
        waker = file.environment.waker
        if waker is None or waker.deployed_by is None or deploys_waker(file):
            continue
        known = next((f for f in files if _is_it(f, file, waker.deployed_by)), None)
        host = known or sibling(file, waker.deployed_by)
        if isinstance(host, Path):
            continue
        if fault := _fault(file, host):
            field, message = fault
            yield sources[str(file.path)].value(("waker", field)).fault(message)


def _is_it(other: EnvironmentFile, file: EnvironmentFile, name: str) -> bool:
    return other.name == name and other.path.parent == file.path.parent


def _fault(file: EnvironmentFile, host: EnvironmentFile | None) -> tuple[str, str] | None:
    """Return the field that is wrong, and why; None if the host deploys this waker."""
    waker = file.environment.waker
    assert waker is not None  # noqa: S101 - only such files are asked about
    if host is None:
        return "deployed_by", f"there is no environment {waker.deployed_by}"
    there = host.environment.waker
    if there is None or not deploys_waker(host):
        why = (
            f"{host.name} deploys no waker; name the environment whose file says "
            f"`waker: {{app: {waker.app}}}`"
        )
        return "deployed_by", why
    if there.app != waker.app:
        return "app", f"{host.name} deploys the waker {there.app}; name that one"
    if host.environment.organization != file.environment.organization:
        ours, theirs = file.environment.organization, host.environment.organization
        why = (
            f"{host.name} is in the organization {theirs}, and a waker is reached only in its own; let "
            f"an environment of {ours} deploy one"
        )
        return "deployed_by", why
    if file.environment.protected and not host.environment.protected:
        why = (
            f"{file.name} is protected, and {host.name} is not: who changes that file decides what wakes "
            "this server; let a protected environment deploy the waker"
        )
        return "deployed_by", why
    return None

"""Check that no key of another environment decrypts the SOPS files of a protected one.

A job of an unprotected environment has the key of its own files. Where that key also decrypts the
files of a protected environment, the review of the protected one is bypassed. The files contain
their public recipients, so this check needs no key. The jobs that send messages have the key of the
addresses, and nobody approves them: they count as an environment that is not protected.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roost.doctor.check import Check, missing, ok
from roost.environment.fields import Secret
from roost.environment.load import EnvironmentFile
from roost.environment.model import SecretPlace
from roost.environment.names import NOTIFY
from roost.environment.sops_file import SopsFileError, read_sops_file, sops_path


@dataclass(frozen=True)
class _Holder:
    """A GitHub environment, and the recipients of each SOPS file that its key is for."""

    name: str
    protected: bool
    recipients: Mapping[str, frozenset[str]]

    @property
    def keys(self) -> frozenset[str]:
        """All recipients of its files."""
        return frozenset().union(*self.recipients.values())


def key_checks(files: Iterable[EnvironmentFile]) -> Iterator[Check]:
    """Check for keys that decrypt files of a protected environment and of another one.

    A file that both name is reported by `validate`, as a fault of the unprotected environment.
    """
    chosen = list(files)
    every = [*map(_holder, chosen), _teller(chosen)]
    holders = [holder for holder in every if holder.recipients]
    found: list[Check] = []
    for holder in holders:
        if holder.protected:
            others = [other for other in holders if other is not holder]
            found += _shared_keys(holder, others)
    yield from found
    if holders and not found:
        yield ok("no key of another environment decrypts the SOPS files of a protected one")


def _holder(file: EnvironmentFile) -> _Holder:
    secrets = file.environment.server_secrets
    return _Holder(file.name, file.environment.protected, _opened(file, secrets))


def _teller(files: Iterable[EnvironmentFile]) -> _Holder:
    """Return what holds the key of the addresses for messages, of all environments."""
    recipients: dict[str, frozenset[str]] = {}
    for file in files:
        recipients |= _opened(file, file.environment.addresses)
    return _Holder(NOTIFY, protected=False, recipients=recipients)


def _opened(
    file: EnvironmentFile, secrets: Iterable[tuple[SecretPlace, Secret]]
) -> Mapping[str, frozenset[str]]:
    names = {secret.source.sops for _, secret in secrets} - {""}
    return {name: _recipients(file, name) for name in sorted(names)}


def _recipients(file: EnvironmentFile, name: str) -> frozenset[str]:
    try:
        return frozenset(read_sops_file(sops_path(file.repository, name)).recipients)
    except SopsFileError:  # reported as a fault of the environment's file
        return frozenset()


def _shared_keys(holder: _Holder, others: Sequence[_Holder]) -> Iterator[Check]:
    """Report each file that a key of another environment's files decrypts."""
    for name, keys in holder.recipients.items():
        sharing = [o for o in others if name not in o.recipients and keys & o.keys]
        if sharing:
            shared = sorted(keys & frozenset().union(*(o.keys for o in sharing)))
            names = ", ".join(sorted(o.name for o in sharing))
            yield missing(
                f"a key that decrypts files of {names} also decrypts {name}: {', '.join(shared)}",
                _mend(name, shared, holder.name),
                holder.name,
            )


def _mend(name: str, shared: Sequence[str], environment: str) -> str:
    """Return how to give a file its own key; the old key still decrypts the file in git's history."""
    command = f"./run sops rotate --in-place --add-age age1... --rm-age {','.join(shared)}"
    return (
        "create a key (`age-keygen`) and write its public half (age1...) into .sops.yaml for this "
        f"file alone; then {command} {shlex.quote(name)}; then gh secret set SOPS_AGE_KEY --env "
        f"{environment}; and change the values, because the old key decrypts the file in git's history"
    )

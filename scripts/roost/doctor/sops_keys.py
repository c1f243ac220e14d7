"""Who can open the files of SOPS: one key for several environments opens the protected one's, too.

A job of an environment that is not protected holds the key of its own files. Where that key opens
the files of a protected environment as well, no reviewer stands before them. Recipients are public
and stand in the files, so no key is needed to see this.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roost.doctor.check import Check, missing, ok
from roost.environment.load import EnvironmentFile
from roost.environment.sops_file import SopsFileError, read_sops_file, sops_path


@dataclass(frozen=True)
class _Holder:
    """An environment, and by the files of SOPS that it names, who can open them."""

    name: str
    protected: bool
    recipients: Mapping[str, frozenset[str]]

    @property
    def keys(self) -> frozenset[str]:
        """All that open any of its files."""
        return frozenset().union(*self.recipients.values())


def key_checks(files: Iterable[EnvironmentFile]) -> Iterator[Check]:
    """Look for keys that open the files of a protected environment and of another one.

    A file that both name is a fault of the file that is not protected, and `validate` reports it.
    """
    holders = [holder for file in files if (holder := _holder(file)).recipients]
    found: list[Check] = []
    for holder in holders:
        if holder.protected:
            others = [other for other in holders if other is not holder]
            found += _shared_keys(holder, others)
    yield from found
    if holders and not found:
        yield ok("no key of another environment opens the SOPS files of a protected one")


def _holder(file: EnvironmentFile) -> _Holder:
    names = {secret.source.sops for secret in file.environment.secrets} - {""}
    recipients = {name: _recipients(file, name) for name in sorted(names)}
    return _Holder(file.name, file.environment.protected, recipients)


def _recipients(file: EnvironmentFile, name: str) -> frozenset[str]:
    try:
        return frozenset(read_sops_file(sops_path(file.repository, name)).recipients)
    except SopsFileError:  # reported as a fault of the environment's file
        return frozenset()


def _shared_keys(holder: _Holder, others: Sequence[_Holder]) -> Iterator[Check]:
    """Report each file that a key for another environment's files opens."""
    for name, keys in holder.recipients.items():
        sharing = [o for o in others if name not in o.recipients and keys & o.keys]
        if sharing:
            shared = sorted(keys & frozenset().union(*(o.keys for o in sharing)))
            names = ", ".join(sorted(o.name for o in sharing))
            yield missing(
                f"{name} opens with a key that opens files of {names} as well: {', '.join(shared)}",
                _mend(name, shared, holder.name),
                holder.name,
            )


def _mend(name: str, shared: Sequence[str], environment: str) -> str:
    """Return how to give a file a key of its own; the old one still opens what git keeps."""
    command = f"./run sops rotate --in-place --add-age age1... --rm-age {','.join(shared)}"
    return (
        "make a key (`age-keygen`) and write its public half (age1...) into .sops.yaml for this "
        f"file alone; then {command} {shlex.quote(name)}; then gh secret set SOPS_AGE_KEY --env "
        f"{environment}; and change the values, as the old key opens the file that git keeps"
    )

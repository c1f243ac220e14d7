"""Map the paths and addresses of a machine to those of this computer.

On Fly a machine has `/data` and each port to itself. Here it is one process among others, so the
paths and addresses in its environment and arguments are rewritten. The public and the private
address of an app become the address of its proxy here, and the name of its machines in the private
network becomes the address of one of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
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
# An app's public address (the port here stands for 443 without TLS) and its private one (Flycast).
_APP_ADDRESS = re.compile(
    r"(?:https://(?P<public>[a-z0-9-]+)\.fly\.dev(?::443)?"
    r"|http://(?P<private>[a-z0-9-]+)\.flycast(?::80)?)(?=[/?#]|$)"
)
# The name of an app's machines (6PN), alone, with a port, or as the host of an address.
_INTERNAL_NAME = re.compile(
    r"(?P<before>(?:[a-z][a-z0-9+.-]*://(?:[^@/?#\s]*@)?)?)(?P<app>[a-z0-9-]+)\.internal"
    r"(?P<after>(?::\d{1,5})?(?:[/?#]\S*)?)"
)
_EVERY_ADDRESS = re.compile(r"(?P<before>-[\w-]+=|)(?:0\.0\.0\.0|\[::\]|::)(?P<after>|:\d{1,5})")


@dataclass(frozen=True)
class PathMapping:
    """The mapping from a machine's paths and addresses to those here.

    Attributes:
        paths: The path here, by the path in the machine (`/data`).
        address: The machine's own loopback address.
        ports: The port of each app's proxy on 127.0.0.1, by the app's name.
        machines: The loopback address of a machine of each app, by the app's name.
    """

    paths: Mapping[str, str]
    address: str
    ports: Mapping[str, int] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)

    def rewrite(self, value: str) -> str:
        """Return a value with its listening address, an app's address or all paths rewritten."""
        listening = _EVERY_ADDRESS.fullmatch(value)
        if listening:
            return f"{listening['before']}{self.address}{listening['after']}"
        app = _APP_ADDRESS.match(value)
        port = self.ports.get(app["public"] or app["private"]) if app else None
        if app and port:
            return f"http://127.0.0.1:{port}{value[app.end() :]}"
        name = _INTERNAL_NAME.fullmatch(value)
        machine = self.machines.get(name["app"]) if name else None
        if name and machine:
            return f"{name['before']}{machine}{name['after']}"
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

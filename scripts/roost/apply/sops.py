"""Read values from SOPS files with the `sops` program.

No value is in its arguments or its environment. Its output is read once, and its error output is
never shown, because it may quote the file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.environment.sops_file import SopsFile, SopsFileError, read_sops_file, sops_path
from roost.secret_text import SecretText

LIMIT_S = 60
NO_KEY = 128
"""The exit code of sops when none of the keys it found decrypts the file."""
_PLAIN_KEY, _PLAIN_KEY_LENGTH = "AGE-SECRET-KEY-1", 74
# What sops needs to find a key. The rest of a CI job's environment, with values and tokens, stays out.
_PASSED_ON = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME")
_PASSED_ON_PREFIX = "SOPS_AGE_"


@dataclass(frozen=True)
class Unread:
    """Why a value could not be read, as a clause, and what to do about it."""

    why: str
    advice: str
    unusable: bool = False
    """Whether there is a value that cannot work."""


Read = Mapping[str, SecretText] | Unread


@dataclass
class SopsFiles:
    """The SOPS files of one repository, each decrypted at most once.

    Args:
        repository: the folder that file names are relative to.
        environ: the environment, with the key for sops.
    """

    repository: Path
    environ: Mapping[str, str]
    _read: dict[str, Read] = field(default_factory=dict, repr=False)

    def value(self, file: str, name: str) -> SecretText | Unread:
        """Return the value of a name in a file, or why it cannot be read."""
        if file not in self._read:
            self._read[file] = self._decrypt(file)
        found = self._read[file]
        if isinstance(found, Unread):
            return found
        return found.get(name) or Unread(
            f"{file} has no text value {name}", "Add it with `sops edit`, not empty and in quotes."
        )

    def _decrypt(self, file: str) -> Read:
        try:
            path = sops_path(self.repository, file)
            shown = read_sops_file(path)
        except SopsFileError as error:
            return Unread(f"{file} {error}", "Correct the file.")
        if not may_have_key(
            self.environ
        ):  # the file may be a stranger's, so sops does not run on it
            return _no_key(file, shown)
        program = find_sops(self.environ)
        if not program:
            return Unread(
                f"{file} needs the program sops, which is not installed",
                "Install it with `./run sops --help`, or by hand.",
            )
        try:
            # A blocking call is fine: nothing else runs yet, and no lease needs renewing.
            done = subprocess.run(  # noqa: S603 - arguments are ours and a file of the repository
                [program, "decrypt", "--output-type", "json", str(path)],
                env=dict(_environment(self.environ)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return Unread(
                f"{file} could not be decrypted: {program} did not start or did not finish",
                f"Run `sops decrypt {file}` by hand.",
            )
        if done.returncode == NO_KEY:
            bad = has_bad_key(self.environ.get("SOPS_AGE_KEY", ""))
            return _bad_key(file) if bad else _no_key(file, shown)
        values = _values(done.stdout) if done.returncode == 0 else None
        return _refused(file) if values is None else values


def may_have_key(environ: Mapping[str, str]) -> bool:
    """Return whether a key exists in a place where sops looks for one.

    Without a key, sops would use what else the file names, such as a key server in the network.
    """
    if any(name.startswith(_PASSED_ON_PREFIX) and environ[name] for name in environ):
        return True
    home = Path(environ.get("HOME") or "/nonexistent")
    settings = [home / ".config", home / "Library" / "Application Support"]
    if environ.get("XDG_CONFIG_HOME"):
        settings.append(Path(environ["XDG_CONFIG_HOME"]))
    files = [folder / "sops" / "age" / "keys.txt" for folder in settings]
    files += [home / ".ssh" / name for name in ("id_ed25519", "id_rsa")]
    return any(file.exists() for file in files)


def find_sops(environ: Mapping[str, str]) -> str:
    """Return the path of sops, from PATH or beside the Python in use; empty if there is none.

    `./run` puts the sops that `./run sops` installed on PATH. The checkout is not searched.
    """
    for path in (environ.get("PATH") or "", str(Path(sys.executable).parent)):
        if found := shutil.which("sops", path=path) if path else None:
            return found
    return ""


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX):
            yield name, value


def has_bad_key(text: str) -> bool:
    """Return whether SOPS_AGE_KEY has a line that is neither an age key nor a comment.

    With such a line, sops reads no key at all.
    """
    lines = [line.strip() for line in text.splitlines()]
    return any(line and not line.startswith("#") and not _is_key(line) for line in lines)


def _is_key(line: str) -> bool:
    if line.startswith(_PLAIN_KEY):  # the others are of lengths of their own
        return len(line) == _PLAIN_KEY_LENGTH
    return line.startswith(("AGE-SECRET-KEY-", "AGE-PLUGIN-"))


def _bad_key(file: str) -> Unread:
    return Unread(
        f"{file} cannot be decrypted here: SOPS_AGE_KEY does not hold an age key",
        "Set it to the whole line that begins with AGE-SECRET-KEY-, without quotes; "
        "a value that begins with age1 is the public half, which only encrypts.",
    )


def _no_key(file: str, shown: SopsFile) -> Unread:
    if shown.groups_needed > 1:
        return Unread(
            f"{file} cannot be decrypted here: it needs keys of {shown.groups_needed} of its key groups",
            "Set SOPS_AGE_KEY to one age key of each group, one key a line, "
            "or encrypt it without key groups.",
        )
    ssh = ("an SSH recipient",) if shown.for_ssh else ()
    needed = " or ".join((*shown.recipients, *ssh)) or "whoever encrypted it"
    way = " For an SSH key, name its private half in SOPS_AGE_SSH_PRIVATE_KEY_FILE." if ssh else ""
    return Unread(
        f"{file} cannot be decrypted here: there is no key for {needed}",
        f"Set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE to its age key.{way}",
    )


def _refused(file: str) -> Unread:
    return Unread(
        f"sops refuses {file}: it was changed by hand or is damaged",
        f"Run `sops decrypt {file}` to see why, and correct it with `sops edit`.",
    )


def _values(output: bytes) -> Mapping[str, SecretText] | None:
    """Return the top-level texts, which alone can be a variable's value; None if it is not JSON."""
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        return None
    values = {n: SecretText(value) for n, value in found.items() if isinstance(value, str)}
    return {name: value for name, value in values.items() if value and value.is_text}

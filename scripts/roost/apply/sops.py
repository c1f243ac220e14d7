"""Values out of SOPS files, through the real `sops` program.

No value is in its arguments or its environment; its output is read once, and what it says of a
failure is never shown: it may quote the file.
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
"""What sops ends with when no key that it found decrypts the file."""
_PLAIN_KEY, _PLAIN_KEY_LENGTH = "AGE-SECRET-KEY-1", 74
# All that sops needs to find a key, and nothing else of ours: the rest of a CI job's environment
# holds values and tokens.
_PASSED_ON = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME")
_PASSED_ON_PREFIX = "SOPS_AGE_"


@dataclass(frozen=True)
class Unread:
    """Why a value is not here, as a clause, and what to do about it."""

    why: str
    advice: str
    unusable: bool = False
    """Whether there is a value, and it cannot work."""


Read = Mapping[str, SecretText] | Unread


@dataclass
class SopsFiles:
    """The SOPS files of one repository, each decrypted at most once.

    Args:
        repository: what their names are relative to.
        environ: where sops is told its key.
    """

    repository: Path
    environ: Mapping[str, str]
    _read: dict[str, Read] = field(default_factory=dict, repr=False)

    def value(self, file: str, name: str) -> SecretText | Unread:
        """Return the value of one name in a file, or why it is not to be had."""
        if file not in self._read:
            self._read[file] = self._decrypt(file)
        found = self._read[file]
        if isinstance(found, Unread):
            return found
        return found.get(name) or Unread(
            f"{file} has no text {name}", "Add it with `sops edit`, not empty and in quotes."
        )

    def _decrypt(self, file: str) -> Read:
        try:
            path = sops_path(self.repository, file)
            shown = read_sops_file(path)
        except SopsFileError as error:
            return Unread(f"{file} {error}", "Mend it.")
        if not may_have_key(self.environ):  # whose file it is may be a stranger's, so no try
            return _no_key(file, shown)
        program = find_sops(self.environ)
        if not program:
            return Unread(
                f"{file} needs the program sops, which is not there",
                "Bring it with `./run sops --help`, or install it.",
            )
        try:
            # Blocking on purpose: nothing else runs yet, and no lease is held.
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
                f"{file} could not be decrypted: {program} does not run, or not to its end",
                f"Run `sops decrypt {file}` by hand.",
            )
        if done.returncode == NO_KEY:
            bad = has_bad_key(self.environ.get("SOPS_AGE_KEY", ""))
            return _bad_key(file) if bad else _no_key(file, shown)
        values = _values(done.stdout) if done.returncode == 0 else None
        return _refused(file) if values is None else values


def may_have_key(environ: Mapping[str, str]) -> bool:
    """Return whether there is a place with a key that sops would look at.

    Without one, sops would go on to whatever else a file names, such as a server in the network.
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
    """Return the program on PATH or beside our Python; empty for none.

    `./run` puts what `./run sops` brought on PATH. Nothing is looked for in the checkout itself.
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
    """Return whether a line of SOPS_AGE_KEY is neither a key of age nor a note; sops then reads none."""
    lines = [line.strip() for line in text.splitlines()]
    return any(line and not line.startswith("#") and not _is_key(line) for line in lines)


def _is_key(line: str) -> bool:
    if line.startswith(_PLAIN_KEY):  # the others are of lengths of their own
        return len(line) == _PLAIN_KEY_LENGTH
    return line.startswith(("AGE-SECRET-KEY-", "AGE-PLUGIN-"))


def _bad_key(file: str) -> Unread:
    return Unread(
        f"{file} cannot be decrypted here: what is in SOPS_AGE_KEY is no age key",
        "Give the whole line that begins with AGE-SECRET-KEY-, without quotes; "
        "what begins with age1 is the public half, which only encrypts.",
    )


def _no_key(file: str, shown: SopsFile) -> Unread:
    if shown.groups_needed > 1:
        return Unread(
            f"{file} cannot be decrypted here: it needs keys of {shown.groups_needed} of its key groups",
            "Give one age key of each group in SOPS_AGE_KEY, each in a line of its own, "
            "or encrypt it without key groups.",
        )
    ssh = ("an SSH recipient",) if shown.for_ssh else ()
    needed = " or ".join((*shown.recipients, *ssh)) or "whoever encrypted it"
    way = " For an SSH key, name its private half in SOPS_AGE_SSH_PRIVATE_KEY_FILE." if ssh else ""
    return Unread(
        f"{file} cannot be decrypted here: there is no key of {needed}",
        f"Give its age key in SOPS_AGE_KEY or SOPS_AGE_KEY_FILE.{way}",
    )


def _refused(file: str) -> Unread:
    return Unread(
        f"{file} is refused by sops: it was changed by hand or is broken",
        f"Run `sops decrypt {file}` to see why, and mend it with `sops edit`.",
    )


def _values(output: bytes) -> Mapping[str, SecretText] | None:
    """Take the texts at the top, nothing else can be a variable's value; None for what is no JSON."""
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        return None
    values = {n: SecretText(value) for n, value in found.items() if isinstance(value, str)}
    return {name: value for name, value in values.items() if value and value.is_text}

"""Read names, types and recipients from SOPS files, without any key.

SOPS does not encrypt names, and writes each value as `ENC[AES256_GCM,data:...,type:str]`
(https://getsops.io/docs). So a file can be checked where it cannot be decrypted. Messages contain
only names, recipients and line numbers of a file.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from roost.environment.yaml_source import MAX_BYTES, read_source

Json = dict[str, Any]

_FORMS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv"}
_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,.*,type:(\w+)\]", re.ASCII | re.DOTALL)
_RECIPIENT = re.compile(r"age1[0-9a-z]{10,2000}", re.ASCII)
_DOTENV_AGE = re.compile(r"sops_age__list_\d+__map_(recipient|enc)", re.ASCII)
_DOTENV_KEEPER = re.compile(r"sops_(\w+?)__(?:list|map)_.*", re.ASCII)
_META = "sops"
# SOPS's metadata of a file, except for the recipients.
_ABOUT = frozenset(
    {
        *("lastmodified", "mac", "mac_only_encrypted", "shamir_threshold", "version"),
        *(f"{which}encrypted_{how}" for which in ("", "un") for how in ("suffix", "regex")),
        *(f"{which}encrypted_comment_regex" for which in ("", "un")),
    }
)
# Key services by the names of their metadata; sops calls them over the network, or runs a program.
_KEEPERS = {
    "kms": "AWS KMS",
    "gcp_kms": "Google Cloud KMS",
    "hckms": "Huawei Cloud KMS",
    "azure_kv": "Azure Key Vault",
    "hc_vault": "HashiCorp Vault",
    "pgp": "PGP",
}


class SopsFileError(Exception):
    """A file that cannot be the source of secrets; the message has the fix."""


@dataclass(frozen=True)
class SopsFile:
    """The parts of a SOPS file that are readable without a key."""

    names: frozenset[str]
    faults: dict[str, str]
    """The reason for each name that cannot be used."""
    recipients: tuple[str, ...]
    """Public keys; each of their private keys can decrypt the file."""
    groups_needed: int = 1
    """From how many key groups a key is needed; SOPS splits the file's own key among them."""
    for_ssh: bool = False
    """Whether an SSH key is among those that can decrypt."""

    def fault(self, name: str) -> str:
        """Return what is wrong with one name of the file; empty where it can be used."""
        if name in self.names:
            return self.faults.get(name, "")
        close = difflib.get_close_matches(name, self.names, n=1)
        meant = (
            f"; did you mean {close[0]}?"
            if close
            else f"; add it with `sops edit`{_listed(self.names)}"
        )
        return f"has no key {name}{meant}"


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)[:10]
    return f", it has {', '.join(found)}" if found else ""


def repository_of(path: Path) -> Path:
    """Return the repository of an environment file, or else the folder above its folder."""
    folder = path.absolute().parent
    for above in (folder, *folder.parents):
        if (above / ".git").exists():
            return above
    return folder.parent


def leads_out(path: Path, repository: Path) -> bool:
    """Return whether a path leads out of its repository, or into its `.git` folder.

    `.git/config` may contain a job's token.
    """
    top, real = real_path(repository), real_path(path)
    return not real.is_relative_to(top) or ".git" in real.relative_to(top).parts


def real_path(path: Path) -> Path:
    """Return a path with its links followed; one that leads round in a circle leads nowhere inside."""
    try:
        return path.resolve()
    except RuntimeError:  # a circle, up to Python 3.12
        return Path(path.anchor)


def sops_path(repository: Path, name: str) -> Path:
    """Return the path of a file that an environment names.

    Raises:
        SopsFileError: it is outside of the repository, or has an unsupported suffix.
    """
    parts = PurePosixPath(name)
    path = repository / parts
    inside = not parts.is_absolute() and ".." not in parts.parts
    if not inside or leads_out(path, repository):
        raise SopsFileError("is outside of the repository; name a file in it, from its top folder")
    if parts.suffix not in _FORMS:
        raise SopsFileError(
            f"must end in one of {', '.join(_FORMS)}, so that SOPS knows its format"
        )
    return path


def read_sops_file(path: Path) -> SopsFile:
    """Read the parts of a file that need no key.

    Raises:
        SopsFileError: it is missing, incomplete, not encrypted, or not for age keys only.
    """
    data = _PARSERS[_FORMS[path.suffix]](_text(path), str(path))
    meta = data.pop(_META, None)
    if not isinstance(meta, dict) or "mac" not in meta:
        raise SopsFileError(
            "is not encrypted: anyone who reads the repository reads its values. "
            "Encrypt it (`sops encrypt --in-place FILE`), and change every value that was committed"
        )
    # Go's JSON ignores case, so SOPS would read both.
    if any(name.casefold() == _META for name in data):
        raise SopsFileError(f"has metadata of SOPS twice; only `{_META}` can be its name")
    _refuse_keepers(meta)
    faults = {name: why for name, value in data.items() if (why := _value_fault(name, value))}
    return SopsFile(
        frozenset(data),
        faults,
        tuple(_recipients(meta)),
        _groups_needed(meta),
        any(text.startswith("ssh-") for text in _all_recipients(meta)),
    )


def _groups_needed(meta: Json) -> int:
    groups, threshold = len(_dicts(meta.get("key_groups"))), meta.get("shamir_threshold")
    return threshold if groups and isinstance(threshold, int) else max(1, groups)


def _value_fault(name: str, value: object) -> str:
    if value == "":
        return f"has an empty {name}; give it a value with `sops edit`"
    if isinstance(value, dict | list):
        return f"has {name} as a group of values; a secret is one text, at the top of the file"
    kind = _ENCRYPTED.fullmatch(value) if isinstance(value, str) else None
    if kind is None:
        return f"has {name} in the clear; encrypt it, and change the value that was committed"
    if kind[1] != "str":
        return f"has {name} as a number or the like; put it in quotes with `sops edit`"
    return ""


def _refuse_keepers(meta: Json) -> None:
    """Refuse every key service but age.

    To decrypt, sops would send the login that it finds, such as ~/.vault-token, to the address in the
    file, which anybody who changes the file can choose.

    Raises:
        SopsFileError: the file names a key service.
    """
    for group in (meta, *_dicts(meta.get("key_groups"))):
        for name, value in group.items():
            if value and name not in _ABOUT and name not in {"age", "key_groups"}:
                raise SopsFileError(_keeper_refused(name))


def _keeper_refused(name: str) -> str:
    keeper = _KEEPERS.get(name.casefold())
    if keeper is None:
        return "has metadata that Roost does not know; encrypt it again for age keys, with SOPS"
    return (
        f"is encrypted for {keeper}, and Roost uses age keys alone: whoever changes the file could have "
        "your login sent elsewhere. Leave only `age` in .sops.yaml, and run `sops updatekeys FILE`"
    )


def _recipients(meta: Json) -> Iterable[str]:
    return (text for text in _all_recipients(meta) if _RECIPIENT.fullmatch(text))


def _all_recipients(meta: Json) -> Iterable[str]:
    groups = [meta, *_dicts(meta.get("key_groups"))]
    for entry in [entry for group in groups for entry in _dicts(group.get("age"))]:
        recipient = entry.get("recipient")
        if isinstance(recipient, str):
            yield recipient


def _dicts(found: object) -> list[Json]:
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SopsFileError(
            "does not exist; create it with `sops edit FILE`, or correct the name"
        ) from None
    except OSError as error:
        raise SopsFileError(
            f"cannot be read: {(error.strerror or 'no reason given').lower()}"
        ) from None
    if len(content) > MAX_BYTES:
        raise SopsFileError(f"is larger than {MAX_BYTES // 1024} KB; keep only the secrets in it")
    return content


def _yaml(content: bytes, path: str) -> Json:
    source = read_source(path, content)
    if source.faults:  # their messages may quote the content
        raise SopsFileError(
            f"is not plain YAML (line {source.faults[0].line}); correct it with `sops edit`"
        )
    return dict(source.data)


def _json(content: bytes, _: str) -> Json:
    try:
        data = json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise SopsFileError("is not a JSON object; correct it with `sops edit`") from None
    return data


def _distinct(pairs: list[tuple[str, object]]) -> Json:
    """Return a JSON object; refuse a repeated name, for which SOPS may read another value.

    Raises:
        ValueError: a name is repeated.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _dotenv(content: bytes, _: str) -> Json:
    data: Json = {}
    meta: Json = {"age": []}
    for line in content.decode(errors="replace").splitlines():
        name, equals, value = line.partition("=")
        if not line.strip() or line.startswith("#"):
            continue
        if not equals:
            raise SopsFileError("has a line that is not NAME=VALUE; correct it with `sops edit`")
        if known := _DOTENV_AGE.fullmatch(name):
            meta["age"].append({known[1]: value})
        elif name.startswith("sops_"):
            keeper = _DOTENV_KEEPER.fullmatch(name)
            meta[keeper[1] if keeper else name.removeprefix("sops_")] = value
        else:
            data[name] = value
    return {**data, _META: meta}


_PARSERS = {"yaml": _yaml, "json": _json, "dotenv": _dotenv}

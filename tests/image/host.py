"""What a build uses of this machine: its certificates and package index."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs")
SYSTEM_PIP_FILES = (Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"))
USER_PIP_FILES = (".pip/pip.conf", ".config/pip/pip.conf")
# Settings for package indexes. Certificates are found where they are mounted.
INDEX_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "timeout")
SECTIONS = ("global", "install")


def pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the configuration files that pip reads, in increasing priority."""
    home = Path(environ.get("HOME", "/"))
    named = [environ["PIP_CONFIG_FILE"]] if "PIP_CONFIG_FILE" in environ else []
    return (*SYSTEM_PIP_FILES, *(home / name for name in USER_PIP_FILES), *map(Path, named))


def pip_configuration(texts: Iterable[str], environ: Mapping[str, str]) -> str:
    """Return pip's settings as one file for a build; empty if they are the defaults.

    Folders of this machine are left out, because a build cannot see them.
    """
    found: dict[str, str] = {}
    for text in texts:
        parser = configparser.RawConfigParser()
        parser.read_string(text)
        found |= {
            option: parser[section][option]
            for section in SECTIONS
            if parser.has_section(section)
            for option in INDEX_OPTIONS
            if option in parser[section]
        }
    for option in INDEX_OPTIONS:
        found |= _from_variable(option, environ)
    kept = {option: _remote(value) for option, value in found.items()}
    lines = [f"{option} = {value}" for option, value in sorted(kept.items()) if value]
    return "\n".join(["[global]", *lines, ""]) if lines else ""


def _from_variable(option: str, environ: Mapping[str, str]) -> dict[str, str]:
    value = environ.get(f"PIP_{option.upper().replace('-', '_')}")
    return {option: value} if value else {}


def _remote(value: str) -> str:
    return " ".join(word for word in value.split() if not word.startswith(("file:", "/", ".")))

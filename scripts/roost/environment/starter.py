"""Write a new environment file from a few answers, and check it like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from roost.environment.fields import Secret
from roost.environment.load import EnvironmentFile, check, merge_defaults
from roost.environment.machine_memory import PERFORMANCE, SHARED, memory_range
from roost.environment.model import AUTH_SECRET
from roost.environment.rules import SUSPEND_LIMIT_MB
from roost.environment.yaml_source import Source, read_source
from roost.errors import Fault
from roost.errors.command import Command

EXAMPLES = frozenset({"acme-prefect", "acme-prefect-staging"})
"""The apps in the example files of the template, for which no servers exist."""
BACKENDS = ("sqlite", "postgres")
URL_SECRET = "DATABASE_URL"  # noqa: S105 - the name, not the value
COMFORTABLE_MB = 512
# Texts that need no quotes in any version of YAML.
_PLAIN = re.compile(r"[a-z]+-[a-z0-9-]*[a-z0-9]|[a-z]{3,}[0-9]*|[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_WORDS = frozenset({"yes", "off", "true", "false", "null"})


def is_example(file: EnvironmentFile) -> bool:
    """Return whether a file is an example of the template, with its app unchanged."""
    return file.environment.app in EXAMPLES


@dataclass(frozen=True, kw_only=True)
class Starter:
    """The answers for a new environment."""

    name: str
    app: str = "acme-prefect"
    organization: str = "personal"
    region: str = "iad"
    protected: bool = False
    version: str = "3.9.1"
    size: str = "shared-cpu-1x"
    memory_mb: int | str = COMFORTABLE_MB
    """A text is an answer that is not checked yet."""
    backend: str = "sqlite"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that the environment needs."""
        return (AUTH_SECRET, URL_SECRET) if self.backend == "postgres" else (AUTH_SECRET,)


def least_memory_mb(size: str) -> int:
    """Return the least memory of a size in MB that is enough for Prefect."""
    cpus = re.search(r"-(\d{1,3})x$", size)
    kind = SHARED if size.startswith(SHARED) else PERFORMANCE
    return max(COMFORTABLE_MB, memory_range(kind, int(cpus[1]) if cpus else 1).low)


def written(starter: Starter, defaults: Source) -> str:
    """Return the text of the file.

    Args:
        starter: the answers.
        defaults: those of its folder; their secrets are repeated in the file where it adds some,
            because a list replaces theirs.
    """
    sleeps = isinstance(starter.memory_mb, int) and starter.memory_mb > SUSPEND_LIMIT_MB
    lines = [
        "# yaml-language-server: $schema=environment.schema.json",
        "# One Prefect server. What may stand here, and what it means: environment.schema.json, which an",
        f"# editor reads by the line above, or `{Command('show', starter.name).typed}`: all of it, with its defaults.",
        f"app: {_text(starter.app)} # https://APP.fly.dev",
        f"organization: {_text(starter.organization)} # who pays",
        f"region: {_text(starter.region)}",
    ]
    if starter.protected:
        lines.append(
            "protected: true # never destroyed; on GitHub its buttons need a maintainer, or a reviewer"
        )
    lines += [
        "",
        "prefect:",
        f"  version: {_text(starter.version)}",
        "",
        "machine:",
        f"  size: {_text(starter.size)}",
        f"  memory_mb: {_number(starter.memory_mb)}",
        "",
        "scaling:",
        "  min_machines_running: 0 # may sleep; 1 is always on",
        f"  autostop: {'stop' if sleeps else 'suspend'} # how it sleeps; the next request wakes it",
        "  idle_after: 5m",
        "",
        "database:",
        *_database(starter),
    ]
    if names := _secrets_to_write(starter, defaults):
        lines += ["", "secrets: # names; a value never stands here", *names]
    return "\n".join(lines) + "\n"


def faults_in(text: str, path: str, defaults: Source) -> tuple[Fault, ...]:
    """Return every fault that the file would have in its folder."""
    source = read_source(path, text.encode("utf-8", errors="replace"))
    if source.faults:
        return source.faults
    _, faults = check(merge_defaults(source, defaults))
    return tuple(faults)


def _database(starter: Starter) -> list[str]:
    retention = (
        "  retention: {events: 7d, flow_runs: 90d} # what is older is deleted; flow_runs: keep "
        "deletes none"
    )
    if starter.backend == "postgres":
        return [
            "  backend: postgres",
            f"  url_secret: {URL_SECRET} # its value is the address",
            retention,
        ]
    return [
        f"  backend: {_text(starter.backend)}",
        "  volume_gb: 1 # it can grow, never shrink",
        "  snapshot_retention_days: 5",
        retention,
    ]


def _secrets_to_write(starter: Starter, defaults: Source) -> list[str]:
    given = defaults.data.get("secrets")
    listed = given if isinstance(given, list) else []
    known = {entry.get("name") if isinstance(entry, dict) else entry for entry in listed}
    missing = [name for name in starter.secrets if name not in known]
    if not missing:
        return []
    return [f"  - {_entry(entry)}" for entry in (*listed, *missing)]


def _entry(entry: object) -> str:
    return json.dumps(entry) if isinstance(entry, dict) else str(entry)


def _text(value: str) -> str:
    """Quote a text where YAML would not read it as text."""
    plain = _PLAIN.fullmatch(value) and value not in _WORDS
    return value if plain else json.dumps(value)


def _number(value: int | str) -> str:
    return value if isinstance(value, str) and value.isdigit() else json.dumps(value)


def secret_names(secrets: Iterable[Secret]) -> tuple[str, ...]:
    """Return the variables of the secrets that come from the process environment."""
    return tuple(dict.fromkeys(secret.source.env for secret in secrets if secret.source.env))

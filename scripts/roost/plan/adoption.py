"""A machine that was made without Roost and that the next apply adopts. Pure.

The first apply replaces its config. What it ran before is recorded as a release that was good, so that
a failed gate takes it back there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from roost.environment.settings_rules import holds_secret
from roost.errors import UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.compare import Path, differences, field_name
from roost.plan.desired import DATABASE_URL_VARIABLE, SLOT_KEY, VERSION_KEY, Desired, Json
from roost.plan.image import pinned, version_in
from roost.plan.live import Live
from roost.plan.ownership import is_adopted
from roost.plan.releases import Release, Verdict, secrets_digest
from roost.plan.steps import UpdateMachine

FOUND = "as it was found"
"""What the record of an adopted machine says in place of a reason."""
# An address with a login in it, be it only a token.
_LOGIN = re.compile(r"://[^\s@]+@")
# Words of names whose values are often passwords; settings_rules has more.
_NAME = re.compile(
    r"(?:^|_)(?:PASS|PWD|PAT|DSN|KEY|KEYS|AUTH|WEBHOOK|HEADERS)(?:_|$)", re.IGNORECASE
)
# Addresses that are passwords themselves: whoever knows one may post.
_WEBHOOK = re.compile(r"hooks\.slack\.com|discord(?:app)?\.com/api/webhooks", re.IGNORECASE)
# NAME=value, --name=value and --name value in a command; $NAME is no value.
_GIVEN = re.compile(r"(?:--([A-Za-z][\w-]*)[ =]|([A-Za-z_]\w*)=)[\"\']?([^\s$\"\'][^\s]*)")
_COPIED = ("services", "checks", "init")
"""What a record copies beside variables, and may hold a password."""


def looks_secret(name: str, value: str) -> bool:
    """Return whether a variable may hold a password, by its name or its value."""
    if value.startswith("sqlite"):  # a path
        return False
    return (
        holds_secret(name)
        or _NAME.search(name) is not None
        or _LOGIN.search(value) is not None
        or _WEBHOOK.search(value) is not None
    )


def secrets_in(config: Json) -> tuple[str, ...]:
    """Return the variables and fields of a machine's config that may hold passwords, sorted."""
    env = config.get("env") or {}
    variables = {name for name, value in env.items() if looks_secret(name, str(value))}
    fields = {part for key in _COPIED for part in _secret_fields((key,), config.get(key))}
    return tuple(sorted(variables | fields))


def _secret_fields(path: Path, value: object) -> Iterator[str]:
    """Yield the fields with headers, and those of a command with a password in it."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "headers" and part:
                yield field_name((*path, key))
            else:
                yield from _secret_fields((*path, key), part)
    elif isinstance(value, list) and path[0] == "init":
        if _in_command(" ".join(map(str, value))):
            yield field_name(path)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _secret_fields((*path, index), part)


def _in_command(command: str) -> bool:
    given = ((option or name, value) for option, name, value in _GIVEN.findall(command))
    return _LOGIN.search(command) is not None or any(
        looks_secret(name.replace("-", "_").upper(), value) for name, value in given
    )


def found_release(
    desired: Desired, live: Live, ours: Mapping[str, Machine], at: str = ""
) -> tuple[Release, ...]:
    """Return the record of what an adopted machine ran before; none for other machines.

    There is none either where its config may hold passwords: a record would copy them, and plans show
    records.
    """
    for wanted in desired.machines:
        machine = ours.get(wanted.name)
        if machine is None or not is_adopted(machine, desired) or not machine.config:
            continue
        if secrets_in(machine.config):
            continue
        marks = wanted.config["metadata"]
        version = version_in(str(machine.config.get("image", ""))) or marks[VERSION_KEY]
        kept = {key: value for key, value in marks.items() if key != SLOT_KEY}
        found = {key: value for key, value in machine.config.items() if key in wanted.config}
        mounts = [
            {key: value for key, value in mount.items() if key != "volume"}
            for mount in machine.config.get("mounts") or ()
        ]
        env = {**(machine.config.get("env") or {}), **_database(wanted.config)}
        if "image" in found:  # its tag may have moved by the time that it is taken back
            found["image"] = pinned(str(found["image"]), machine.image_ref)
        config = {**found, "env": env, "metadata": {**kept, VERSION_KEY: version}}
        if mounts:
            config["mounts"] = mounts
        return (
            Release(
                number=1,
                region=machine.region,
                config=config,
                machines=1,
                secrets=secrets_digest(live.secrets),
                verdict=Verdict.GOOD,
                at=at or machine.updated_at,
                why=FOUND,
            ),
        )
    return ()


def _database(config: Json) -> dict[str, str]:
    """Return the variable that tells a server on PostgreSQL from one on a volume."""
    name = (config.get("env") or {}).get(DATABASE_URL_VARIABLE)
    return {DATABASE_URL_VARIABLE: name} if name else {}


def check_adopted(desired: Desired, live: Live) -> None:
    """Check that the machine that the file names is Roost's by now, before its data is changed.

    Raises:
        UnappliableError: no apply has adopted it yet.
    """
    waiting = next((m for m in live.machines if is_adopted(m, desired)), None)
    if waiting is not None:
        raise UnappliableError(
            f"The machine {waiting.id} ({waiting.name}) was made without Roost, and no apply has adopted it "
            "yet.",
            where=desired.environment,
            advice=f"Adopt it first: {Command('apply', desired.environment)}. Nothing was changed.",
        )


def adoption_notes(desired: Desired, ours: Mapping[str, Machine]) -> Iterator[str]:
    """Warn what the first apply does to a machine that it adopts."""
    for machine in ours.values():
        if not is_adopted(machine, desired):
            continue
        snapshot = " A snapshot of its volume is taken first." if machine.mounted_volume else ""
        yield (
            f"The machine {machine.id} ({machine.name}) was made without Roost. This plan adopts it: it is "
            f"updated in place, with the same volume and address.{snapshot}"
        )
        if names := secrets_in(machine.config or {}):
            yield (
                f"{', '.join(names)} of the machine {machine.id} may hold passwords, so Roost "
                "keeps no record of what it runs now. If the gate fails, it is not taken back: "
                "set them as secrets of the app first."
            )


# Why the first apply changes a field of a machine that it adopts; the first that matches counts.
_REASONS = (
    (r"secrets", "a machine sees the secrets that are set"),
    (r"image", "the file asks for this image"),
    (r"metadata\.fly_process_group|env\.FLY_PROCESS_GROUP", "Roost's process group is app"),
    (r"metadata\..*", "marks by which Roost knows the machine"),
    (r"env\.PRIMARY_REGION", "where Fly's proxy keeps min_machines_running"),
    (r"env\.ROOST_.*", "read by Roost's server"),
    (r"env\.(DO_NOT_TRACK|PREFECT_SERVER_ANALYTICS_ENABLED)", "no telemetry"),
    (r"env\.PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT", "no promotions in the UI"),
    (r"env\.PREFECT_HOME", "the server's files are on the volume, or in /tmp with PostgreSQL"),
    (r"env\.PREFECT_SERVER_API_(HOST|PORT)", "where Fly's proxy looks for the server"),
    (r"env\.PREFECT_(SERVER_)?UI_API_URL", "the UI asks the server it came from"),
    (r"env\..*DATABASE_CONNECTION_URL", "the database is chosen by `database`"),
    (r"env\..*", "a variable that the file cannot keep, or that Roost sets; named above"),
    (r"mounts\[0\]\.path", "Roost mounts the volume at /data; the files on it stay"),
    (r"mounts\[0\]\..*", "as the file says under database"),
    (r"init", "the image has its own command"),
    (r"init\..*", "the command of Prefect's own image"),
    (r"restart\..*", "a server that ends is started again, five times"),
    (r"stop_config\..*", "requests end before the server stops"),
    (r"services\[0\]\.ports.*", "80 leads to 443; a private server has 80 alone"),
    (r"services\[0\]\.checks.*", "one check, of `health`"),
    (r"services\[0\].*", "as the file says under scaling and access"),
    (r"services\[\d+\].*", "a server has one service"),
    (r"guest\..*", "as the file says under machine"),
)


def reason_of(field: str) -> str:
    """Return why the first apply changes a field; empty if no reason is known."""
    return next((why for pattern, why in _REASONS if re.fullmatch(pattern, field)), "")


def adopted_changes(steps: Iterable[object], machine: str) -> tuple[tuple[str, str], ...]:
    """Return the fields of the adopted machine that a plan changes, each with the reason."""
    for step in steps:
        if isinstance(step, UpdateMachine) and step.machine == machine:
            return tuple((change.field, reason_of(change.field)) for change in step.changes)
    return ()


def same_setup(one: Json, other: Json) -> tuple[str, ...]:
    """Return the fields in which two machines' configs differ, apart from marks and volume ids."""
    first, second = _comparable(one), _comparable(other)
    found = (*differences(first, second), *differences(second, first))
    return tuple(dict.fromkeys(change.field for change in found))


def _comparable(config: Json) -> Json:
    kept = {key: value for key, value in config.items() if key != "metadata"}
    if "mounts" in kept:
        kept["mounts"] = [
            {key: value for key, value in mount.items() if key != "volume"}
            for mount in kept["mounts"]
        ]
    return kept

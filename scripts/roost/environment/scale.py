"""The fields that `roost scale` changes, and the checks of their new values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from roost.environment import messages
from roost.environment.fields import Machine
from roost.environment.flow_rules import all_findings
from roost.environment.model import Environment, Scaling

Value = int | str
Fields = Mapping[str, Value]

# The section of the file that each field is in.
SECTIONS = {
    "size": "machine",
    "memory_mb": "machine",
    "count": "scaling",
    "min_machines_running": "scaling",
}
ScaleFault = tuple[tuple[str, ...], str]
"""The fields that cause a fault together, and its message."""


def value_of(environment: Environment, field: str) -> Value:
    """Return the value of a field."""
    value: Value = getattr(getattr(environment, SECTIONS[field]), field)
    return value


def with_fields(environment: Environment, fields: Fields) -> Environment:
    """Return the environment with new values, without checking rules across fields.

    Raises:
        ValidationError: a field cannot have its value.
    """
    changed = {
        "machine": Machine.model_validate({**vars(environment.machine), **_of("machine", fields)}),
        "scaling": Scaling.model_validate({**vars(environment.scaling), **_of("scaling", fields)}),
    }
    return environment.model_copy(update=changed)


def _of(section: str, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if SECTIONS[name] == section}


# Fly's fields that each field sets; while `drift.ignore` names one, the field has no effect.
FLY_FIELDS = {
    "size": ("guest.cpu_kind", "guest.cpus"),
    "memory_mb": ("guest.memory_mb",),
    "count": (),
    "min_machines_running": ("services[0].min_machines_running",),
}


def scale_faults(environment: Environment, fields: Fields) -> tuple[ScaleFault, ...]:
    """Return the faults that a valid environment would have with new values."""
    if ignored := tuple(_ignored_faults(environment, fields)):
        return ignored
    try:
        found = _findings(environment, fields)
    except ValidationError as error:
        return tuple(_value_faults(error))
    return tuple((_culprits(environment, fields, message), message) for message in found)


def _ignored_faults(environment: Environment, fields: Fields) -> Iterator[ScaleFault]:
    for name in fields:
        for rule in environment.drift.ignore:
            if rule.field in FLY_FIELDS[name]:
                reason = f"drift.ignore leaves {rule.field} to somebody else ({rule.reason})"
                yield (name,), f"{reason}; remove that rule first"


def _findings(environment: Environment, fields: Fields) -> tuple[str, ...]:
    """Return the messages of rules that only the new values break.

    An environment that was adapted for a rehearsal may break some already. Windows are left out: for a
    time, the server may be kept awake outside of them too, or be taken away.
    """
    environment = _without_windows(environment)
    before = {message for _, message in all_findings(environment)}
    found = (message for _, message in all_findings(with_fields(environment, fields)))
    return tuple(message for message in found if message not in before)


def _without_windows(environment: Environment) -> Environment:
    scaling = environment.scaling.model_copy(update={"windows": ()})
    return environment.model_copy(update={"scaling": scaling})


def _value_faults(error: ValidationError) -> Iterator[ScaleFault]:
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        yield (name,), messages.message(detail, (SECTIONS[name], name))


def _culprits(environment: Environment, fields: Fields, message: str) -> tuple[str, ...]:
    """Return the fields that cause a fault: those without which it goes, or else all."""
    without = {
        name: {other: value for other, value in fields.items() if other != name} for name in fields
    }
    found = [n for n, rest in without.items() if message not in _findings(environment, rest)]
    return tuple(found or fields)

"""The fields that `roost scale` changes, and an environment with other values in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from roost.environment import messages
from roost.environment.model import Environment, Machine, Scaling
from roost.environment.rules import findings

Value = int | str
Fields = Mapping[str, Value]

# Each field by its own name, with the section of the file it stands in.
SECTIONS = {
    "size": "machine",
    "memory_mb": "machine",
    "count": "scaling",
    "min_machines_running": "scaling",
}
ScaleFault = tuple[tuple[str, ...], str]
"""The fields that are at fault together, and what is wrong."""


def value_of(environment: Environment, field: str) -> Value:
    """Return what an environment has in a field."""
    value: Value = getattr(getattr(environment, SECTIONS[field]), field)
    return value


def with_fields(environment: Environment, fields: Fields) -> Environment:
    """Return the environment with other values; rules across fields are not looked at.

    Raises:
        ValidationError: a value is none that the field can have.
    """
    changed = {
        "machine": Machine.model_validate({**vars(environment.machine), **_of("machine", fields)}),
        "scaling": Scaling.model_validate({**vars(environment.scaling), **_of("scaling", fields)}),
    }
    return environment.model_copy(update=changed)


def _of(section: str, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if SECTIONS[name] == section}


# What Fly calls what a field sets: while that is ignored, the field has no effect.
FLY_FIELDS = {
    "size": ("guest.cpu_kind", "guest.cpus"),
    "memory_mb": ("guest.memory_mb",),
    "count": (),
    "min_machines_running": ("services[0].min_machines_running",),
}


def scale_faults(environment: Environment, fields: Fields) -> tuple[ScaleFault, ...]:
    """Hold a good environment with other values to all that its file is held to."""
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
                told = f"drift.ignore leaves {rule.field} to somebody else ({rule.reason})"
                yield (name,), f"{told}; remove that rule first"


def _findings(environment: Environment, fields: Fields) -> tuple[str, ...]:
    """Return what the other values bring: a file that is rehearsed is not all that its author wrote."""
    before = {message for _, message in findings(environment)}
    found = (message for _, message in findings(with_fields(environment, fields)))
    return tuple(message for message in found if message not in before)


def _value_faults(error: ValidationError) -> Iterator[ScaleFault]:
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        yield (name,), messages.message(detail, (SECTIONS[name], name))


def _culprits(environment: Environment, fields: Fields, message: str) -> tuple[str, ...]:
    """Name the fields without which the fault would not be; all where none does it alone."""
    without = {
        name: {other: value for other, value in fields.items() if other != name} for name in fields
    }
    found = [n for n, rest in without.items() if message not in _findings(environment, rest)]
    return tuple(found or fields)

"""A machine whose memory was full gets the memory to set, read from its own size."""

from __future__ import annotations

import pytest

from roost.fly.models import Machine
from roost.plan.memory_advice import OTHERWISE, memory_advice


def machine(**config):
    """Return a machine with a config."""
    return Machine.model_validate({"id": "m1", "config": config or None})


def guest(memory_mb, cpus=1, kind="shared"):
    """Return a machine with a size."""
    return machine(guest={"cpu_kind": kind, "cpus": cpus, "memory_mb": memory_mb})


def test_the_advice_names_twice_the_memory():
    assert memory_advice(guest(512)) == (
        "It had 512 MB. Set memory_mb of its machine to 1024 and apply again."
    )


def test_where_the_size_has_no_more_the_advice_is_another_size():
    assert "Set size of its machine to one with more CPUs" in memory_advice(guest(2048))


@pytest.mark.parametrize(
    "config", [{}, {"guest": None}, {"guest": {"memory_mb": 512}}, {"guest": {"cpus": 1}}], ids=str
)
def test_a_machine_that_hides_its_size_gets_the_general_advice(config):
    assert memory_advice(machine(**config)) == OTHERWISE


@pytest.mark.parametrize("kind", [None, "new-kind"])
def test_an_unknown_kind_of_cpu_still_gets_an_advice(kind):
    assert "512" in memory_advice(guest(512, kind=kind))

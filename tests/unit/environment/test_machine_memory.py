"""How much memory each size has, and what is larger than a memory that was full."""

from __future__ import annotations

import pytest

from roost.environment.fields import SIZES
from roost.environment.machine_memory import kind_and_cpus, memory_range


@pytest.mark.parametrize(
    ("size", "memory_mb", "larger"),
    [
        ("shared-cpu-1x", 256, 512),
        ("shared-cpu-1x", 768, 1536),
        ("shared-cpu-1x", 1280, 2048),
        ("shared-cpu-1x", 2048, None),
        ("shared-cpu-2x", 2048, 4096),
        ("performance-1x", 2048, 4096),
        ("performance-1x", 3072, 6144),
        ("performance-1x", 8192, None),
    ],
)
def test_twice_as_much_is_taken_as_far_as_the_size_has_it(size, memory_mb, larger):
    assert memory_range(*kind_and_cpus(size)).larger(memory_mb) == larger


@pytest.mark.parametrize("size", SIZES)
def test_what_is_larger_is_a_memory_of_the_size_whatever_it_was(size):
    sold = memory_range(*kind_and_cpus(size))
    for memory_mb in range(256, sold.high, 256):
        larger = sold.larger(memory_mb)

        assert larger is not None
        assert memory_mb < larger <= sold.high
        assert larger >= sold.low
        assert larger % sold.step == 0

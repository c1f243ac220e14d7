"""What the start left is collected once, at a quiet moment, and not before the server serves."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest

from roost_server.spare_memory import FIRST_S, LAST_S, LOOK_S, return_memory, trim


class Cycle:
    """An object that only the collector frees."""

    def __init__(self):
        self.own = self


@pytest.fixture
def frozen():
    """Leave the collector as it was."""
    yield
    gc.unfreeze()
    gc.collect()


@pytest.mark.parametrize(
    ("busy_looks", "slept"),
    [(0, [FIRST_S]), (2, [FIRST_S, LOOK_S, LOOK_S])],
)
@pytest.mark.usefixtures("frozen")
def test_it_waits_for_the_services_and_then_until_nobody_is_served(busy_looks, slept):
    gone = weakref.ref(Cycle())
    gc.freeze()  # as the launcher does it: no collection would ever see it
    waits, looks = [], iter([True] * busy_looks)

    async def sleep(seconds):
        assert gone() is not None
        waits.append(seconds)

    anyio.run(lambda: return_memory(lambda: next(looks, False), sleep))

    assert waits == slept
    assert gone() is None
    assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("frozen")
def test_a_server_that_is_never_quiet_is_not_spared_for_ever():
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    anyio.run(lambda: return_memory(lambda: True, sleep))

    assert sum(waits) == LAST_S


def test_free_pages_are_returned_where_the_c_library_can():
    assert trim() in {True, False}

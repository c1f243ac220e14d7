"""How pytest's workers share the tests: by groups, as `--dist loadgroup` does, and in a better order.

A unit of work is a group of tests, or a test without a group. What waits for processes is spread among what
computes, so that the cores are in use all the time: together at the beginning, such tests wait for one image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.workermanage import WorkerController

Work = TypeVar("Work")

WAITING = ("tests/e2e/", "tests/flow/")
"""Tests that wait for processes most of their time, even without a group."""
SPREAD = 0.7
"""The part of the other tests among which they are spread; the last ones run without them."""
SHARED_BY_ALL = {"anyio_backend", "event_loop_policy"}
"""Fixtures of a module that cost nothing."""
STARTED_ONCE = {"bucket"}
"""Fixtures of a session that take seconds to start."""


def group_of(item: pytest.Function) -> str | None:
    """Return the name of the tests that share what is slow to start; None where it shares nothing.

    Otherwise each worker starts it for the few tests of a file that it gets.
    """
    known = item._fixtureinfo.name2fixturedefs
    for name in sorted(STARTED_ONCE & set(known)):
        return f"all-{name}"
    scopes = {found[-1].scope for name, found in known.items() if name not in SHARED_BY_ALL}
    return f"{item.path.parent.name}-{item.path.stem}" if "module" in scopes else None


def waits(unit: str) -> bool:
    """Return whether a unit of work, the name of a group or of a test, waits more than it computes."""
    return "::" not in unit or unit.startswith(WAITING)


def spread(units: Mapping[str, Work]) -> OrderedDict[str, Work]:
    """Return the units with those that wait spread evenly among the others, each in its order."""
    waiting = [unit for unit in units if waits(unit)]
    others = [unit for unit in units if not waits(unit)]
    places = [(n * SPREAD / len(waiting), n, unit) for n, unit in enumerate(waiting)]
    places += [(n / len(others), n, unit) for n, unit in enumerate(others)]
    return OrderedDict((unit, units[unit]) for _, _, unit in sorted(places))


class GroupScheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist comes without types
    """Spreads what waits, and forgets the work that a worker has done.

    After each test xdist counts what a worker has left, among all that the worker ever had. With ten
    thousand tests that takes seconds of a core.
    """

    workqueue: OrderedDict[str, dict[str, bool]]

    def schedule(self) -> None:
        """Give each worker its first work, and put what is left in order."""
        begins = self.collection is None
        super().schedule()
        if begins:
            self.workqueue = spread(self.workqueue)

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Note that a worker has completed a test, and forget its group when all of it is done."""
        super().mark_test_complete(node, item_index, duration)
        group = self._split_scope(self.registered_collections[node][item_index])
        assigned = self.assigned_work[node]
        if all(assigned[group].values()):
            del assigned[group]

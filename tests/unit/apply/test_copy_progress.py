"""How long a copy may take: as long as it goes on, and not much longer; and what is reported meanwhile."""

from __future__ import annotations

import json

import anyio
import pytest

from helpers import made_by_flyctl, virtual_time
from roost.apply import command_deadline
from roost.apply.command_deadline import in_time
from roost.apply.copy_database import SILENT_S, STILL_S, CopyWatch, outcome, progress_line
from roost.errors import OvertimeError
from roost.plan.database_move import CopyProgress, copy_progress

HOUR = 3600.0


def machine(state="started", **metadata):
    """Return a machine whose config has these entries, as JSON with its version."""
    written = {key: json.dumps({"version": "v1", **value}) for key, value in metadata.items()}
    return made_by_flyctl.machine(state=state, instance_id="v1", config={"metadata": written})


def progress(done, doing="copy", table="log"):
    return {"doing": doing, "table": table, "rows": done, "of": 1_800_146, "done": done}


class Fly:
    """Answers with a machine that has copied `rate` rows a second until `stops`, and ends at `ends`."""

    def __init__(self, rate, stops=float("inf"), ends=float("inf")):
        self.rate, self.stops, self.ends = rate, stops, ends

    async def get_machine(self, *_):
        """Return the machine as it is now."""
        now = anyio.current_time()
        if now > self.ends:
            return machine("stopped", roost_move={"tables": [["log", 5, "ab"]], "seconds": 1})
        if not self.rate:
            return machine()
        return machine(roost_move_progress=progress(int(self.rate * min(now, self.stops)) + 1))


def watch(fly):
    """Wait for a copy within the time of a command; return its result, the lines, and the seconds."""
    lines = []

    async def wait():
        async with in_time("staging") as more_time:
            result = await outcome(fly, "acme", machine(), CopyWatch(lines.append, more_time))
        return result, lines, anyio.current_time()

    return virtual_time.run(wait)


def test_a_copy_that_goes_on_may_take_longer_than_a_command():
    result, lines, _ = watch(Fly(500, ends=3 * HOUR))

    assert not result.error
    assert [table.rows for table in result.tables] == [5]
    assert all(len(line) < 78 for line in lines)  # with the two columns before it
    assert lines[1].startswith("copied 15,")
    assert lines[1].endswith(" of 1,800,146 rows, 500/s: log")
    assert 300 < len(lines) < 400


def test_a_copy_that_stands_still_is_given_up_and_its_table_named():
    result, _, took = watch(Fly(500, stops=100))

    assert result.error == "the copy did nothing more for 10 minutes, at the table log"
    assert took == pytest.approx(100 + STILL_S, abs=5)


def test_a_copy_that_says_nothing_has_a_limit_of_its_own():
    result, lines, took = watch(Fly(0))

    assert result.error == "the copy did not end within 45 minutes"
    assert took == pytest.approx(SILENT_S, abs=5)
    assert lines == []


def test_only_the_time_of_a_copy_that_goes_on_is_given_to_the_command():
    async def change():
        async with in_time("staging") as more_time:
            more_time(100)
            await anyio.sleep(command_deadline.LIMIT_S + 99)
            more_time(1)
            await anyio.sleep(3)

    with pytest.raises(OvertimeError):
        virtual_time.run(change)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (progress(7), CopyProgress("copy", "log", 7, 1_800_146, 7)),
        (progress(7, table="x" * 99), CopyProgress("copy", "x" * 30, 7, 1_800_146, 7)),
        ({**progress(7), "version": "v0"}, None),
        ({**progress(7), "rows": "many"}, None),
        ({}, None),
    ],
)
def test_what_the_machine_wrote_is_checked(entry, found):
    assert copy_progress(machine(roost_move_progress=entry)) == found


@pytest.mark.parametrize("text", ["", "[]", "3", '"x"', "[" * 10_000])
def test_what_is_no_document_is_no_progress(text):
    one = machine()
    config = {"metadata": {"roost_move_progress": text}}
    assert copy_progress(one.model_copy(update={"config": config})) is None


def test_the_rate_is_of_the_same_part():
    copied, compared = (
        CopyProgress("copy", "log", 50, 60, 50),
        CopyProgress("compare", "log", 9, 60, 69),
    )

    assert progress_line(copied, None, 0) == "copied 50 of 60 rows: log"
    assert progress_line(compared, copied, 30) == "compared 9 of 60 rows: log"
    largest = CopyProgress("compare", "x" * 30, 10**9, 10**9, 10**9)
    assert len(progress_line(largest, CopyProgress("compare", "x", 0, 10**9, 0), 1)) < 100

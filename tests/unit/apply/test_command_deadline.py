"""However long each call takes, a command ends; what it holds it gives back."""

from __future__ import annotations

import anyio
import pytest

from helpers import virtual_time
from roost.apply import command_deadline
from roost.apply.command_deadline import in_time
from roost.errors import OvertimeError


def test_what_takes_too_long_is_stopped_and_says_what_to_do():
    ended = []

    async def change():
        async with in_time("staging"):
            try:
                await anyio.sleep(2 * command_deadline.LIMIT_S)
                ended.append("done")
            finally:
                ended.append("gave back")

    with pytest.raises(OvertimeError) as failure:
        virtual_time.run(change)
    assert ended == ["gave back"]
    assert "was stopped" in failure.value.what
    assert "run the same command again: it continues from there" in failure.value.advice
    assert "roost plan staging" in failure.value.advice


@pytest.mark.parametrize("error", [None, ValueError("ours"), TimeoutError("of a part")])
def test_what_ends_in_time_ends_as_it_does(error):
    async def change():
        async with in_time("staging"):
            if error:
                raise error
            return "done"

    if error is None:
        assert virtual_time.run(change) == "done"
        return
    with pytest.raises(type(error)) as failure:
        virtual_time.run(change)
    assert failure.value is error

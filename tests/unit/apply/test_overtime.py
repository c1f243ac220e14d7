"""However long each call takes, a command ends; what it holds it gives back."""

from __future__ import annotations

import anyio
import pytest

from roost.apply import overtime
from roost.apply.overtime import in_time
from roost.errors import OvertimeError


def test_what_takes_too_long_is_stopped_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(overtime, "LIMIT_S", 0.05)
    ended = []

    async def change():
        async with in_time("staging"):
            try:
                await anyio.sleep(30)
                ended.append("done")
            finally:
                ended.append("gave back")

    with pytest.raises(OvertimeError) as failure:
        anyio.run(change)
    assert ended == ["gave back"]
    assert "was stopped" in failure.value.what
    assert "run the same command again: it goes on from there" in failure.value.advice
    assert "roost plan staging" in failure.value.advice


@pytest.mark.parametrize("error", [None, ValueError("ours"), TimeoutError("of a part")])
def test_what_ends_in_time_ends_as_it_does(error):
    async def change():
        async with in_time("staging"):
            if error:
                raise error
            return "done"

    if error is None:
        assert anyio.run(change) == "done"
        return
    with pytest.raises(type(error)) as failure:
        anyio.run(change)
    assert failure.value is error

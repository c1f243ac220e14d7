"""An entry of the machine's metadata is written, or removed, over its own socket."""

from __future__ import annotations

import pytest

from roost_machine.metadata import write_metadata

PATH = "/v1/apps/acme/machines/m1/metadata/key"


def test_an_entry_is_written_and_removed(machine_api):
    assert write_metadata("key", "text", machine_api.environ)
    assert write_metadata("key", None, machine_api.environ)

    assert machine_api.asked == [("POST", PATH), ("DELETE", PATH)]
    assert machine_api.bodies == [{"value": "text"}]


@pytest.mark.parametrize("value", ["text", None])
def test_a_refusal_is_reported(machine_api, says, value):
    machine_api.answers = [says(403)]

    assert not write_metadata("key", value, machine_api.environ)

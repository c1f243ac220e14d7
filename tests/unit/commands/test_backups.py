"""A restore where nothing was says that it is done only if the server is on what it restored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace

import anyio
import httpx
import pytest

from helpers.applying import applied_fly, desired_of
from roost.commands import backups
from roost.errors import ChangedMeanwhileError
from roost.fly.client import FlyClient
from roost.secret_text import SecretText

DESIRED = desired_of()


@dataclass
class Looking:
    """What a verb has of a target here: the API."""

    fly: FlyClient


def check(fly, volume):
    """Look whether the server is on a volume."""
    planned = SimpleNamespace(desired=DESIRED, file=SimpleNamespace(name="staging"))

    async def run():
        transport = httpx.MockTransport(fly)
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            await backups.check_mounted(Looking(client), planned, volume)

    anyio.run(run)


def test_the_volume_that_was_filled_is_the_server_s():
    fly = applied_fly(DESIRED)
    [volume] = fly.volumes

    check(fly, volume)


def test_a_server_that_somebody_made_on_another_volume_is_told():
    with pytest.raises(ChangedMeanwhileError, match="not on the restored volume vol_9") as told:
        check(applied_fly(DESIRED), "vol_9")
    assert "roost plan staging" in str(told.value)


WHICH = {"environment": "staging", "app": "acme-prefect"}


def document_of(said):
    """Return what was printed, which is one object."""
    document = json.loads(said.out)
    assert isinstance(document, dict)
    return document


def test_backups_restore_and_destroy_as_json_are_objects_that_say_which_environment(roost, fly):
    assert roost("apply", "staging").code == 0
    fly.settle("stopped")
    made = document_of(roost("backup", "staging", "--json"))

    listed = document_of(roost("backups", "staging", "--json"))
    restored = document_of(roost("restore", "staging", "--json"))
    removed = document_of(roost("destroy", "staging", "--confirm", "acme-prefect", "--json"))

    assert listed.items() >= WHICH.items()
    assert made["snapshot"] in [backup["snapshot"] for backup in listed["backups"]]
    assert restored.items() >= {**WHICH, "snapshot": made["snapshot"]}.items()
    assert removed.items() >= WHICH.items()

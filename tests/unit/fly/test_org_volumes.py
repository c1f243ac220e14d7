"""The volumes of a whole organization: page by page, and none that is being destroyed."""

from __future__ import annotations

import anyio
import httpx

from roost.fly.client import FlyClient
from roost.secret_text import SecretText


def volume(number, state="created"):
    return {"id": f"vol_{number}", "app_name": f"acme-{number}", "state": state, "size_gb": 1}


def listed(pages):
    """Return the volumes that the client reads, and the queries it sent."""
    asked = []

    def answer(request):
        asked.append((request.url.path, dict(request.url.params)))
        return httpx.Response(200, json=pages[len(asked) - 1])

    async def read():
        transport = httpx.MockTransport(answer)
        async with FlyClient("https://fly.test", SecretText("t"), transport=transport) as fly:
            return await fly.list_org_volumes("acme")

    return anyio.run(read), asked


def test_every_page_is_read_and_dying_volumes_are_left_out():
    pages = [
        {"volumes": [volume(1), volume(2, "pending_destroy")], "next_cursor": "vol_2"},
        {"volumes": [volume(3)], "next_cursor": ""},
    ]

    found, asked = listed(pages)

    assert [(one.app_name, one.id) for one in found] == [("acme-1", "vol_1"), ("acme-3", "vol_3")]
    assert asked == [
        ("/v1/orgs/acme/volumes", {"limit": "1000"}),
        ("/v1/orgs/acme/volumes", {"limit": "1000", "cursor": "vol_2"}),
    ]


def test_go_s_empty_list_and_a_cursor_that_stands_still_end_it():
    assert listed([{"volumes": None}]) == ((), [("/v1/orgs/acme/volumes", {"limit": "1000"})])
    found, asked = listed([{"volumes": [volume(1)], "next_cursor": "a"}] * 3)

    assert (len(found), len(asked)) == (2, 2)

"""Live is read with few calls, at once, and nothing but reads."""

from __future__ import annotations

import anyio
import httpx
import pytest

from roost.errors import FlyForbiddenError
from roost.fly.client import FlyClient
from roost.plan.live import Live, read_live
from roost.secret_text import SecretText

ANSWERS = {
    "/v1/apps/acme": {"name": "acme", "organization": {"slug": "personal"}, "brand_new": 1},
    "/v1/apps/acme/ip_assignments": {"ips": [{"ip": "2a09::1"}]},
    "/v1/apps/acme/volumes": [
        {"id": "vol_1", "name": "data", "state": "created"},
        {"id": "vol_2", "name": "data", "state": "pending_destroy"},
    ],
    "/v1/apps/acme/secrets": {"secrets": [{"name": "A", "digest": "d"}]},
    "/v1/apps/acme/machines": [{"id": "m1", "state": "weightless", "config": {"image": "x"}}],
}


def client(answers, seen):
    def answer(request):
        seen.append(request.method)
        body = answers.get(request.url.path)
        if isinstance(body, int):
            return httpx.Response(body, json={"error": "refused"})
        return httpx.Response(404 if body is None else 200, json={} if body is None else body)

    return FlyClient("http://fly.test", SecretText("t"), transport=httpx.MockTransport(answer))


def read(answers, seen):
    async def run():
        async with client(answers, seen) as fly:
            return await read_live(fly, "acme")

    return anyio.run(run)


def test_an_app_that_is_not_there_costs_one_read():
    seen = []

    assert read({}, seen) == Live()
    assert seen == ["GET"]


def test_an_app_costs_five_reads_and_no_change():
    seen = []

    live = read(ANSWERS, seen)

    assert seen == ["GET"] * 5
    assert (live.app.name, live.ips[0].kind, live.secrets[0].name) == ("acme", "v6", "A")


def test_what_fly_adds_is_kept_and_what_is_dying_is_not_planned_on():
    live = read(ANSWERS, [])

    assert live.app.model_extra == {"brand_new": 1}
    assert live.machines[0].state == "weightless"
    assert [volume.id for volume in live.volumes] == ["vol_1"]


def test_a_refused_read_is_one_plain_error():
    """Not a group of them, although the reads run at once."""
    with pytest.raises(FlyForbiddenError):
        read({**ANSWERS, "/v1/apps/acme/secrets": 403}, [])


def test_a_volume_that_came_with_its_machine_while_we_read_is_read_again():
    config = {"image": "x", "mounts": [{"volume": "vol_1", "path": "/data"}]}
    answers = {**ANSWERS, "/v1/apps/acme/machines": [{"id": "m1", "config": config}]}
    volumes = [[], ANSWERS["/v1/apps/acme/volumes"]]
    late = LateVolumes(answers, volumes)

    live = read(late, [])

    assert [volume.id for volume in live.volumes] == ["vol_1"]
    assert volumes == []


class LateVolumes:
    """Answers whose volumes are others each time."""

    def __init__(self, answers, volumes):
        self.answers = answers
        self.volumes = volumes

    def get(self, path):
        """Return the answer."""
        return self.volumes.pop(0) if path.endswith("/volumes") else self.answers.get(path)

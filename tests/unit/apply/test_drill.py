"""A drill removes the app it made, also where it cannot know that, and no other."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
import stamina

from helpers import virtual_time
from helpers.applying import EveryName
from helpers.fly_answers import says
from helpers.histories import desired_of
from roost.apply.drill import Driller
from roost.apply.work import Work, lease_holder
from roost.errors import FlyConflictError, FlyRejectedError, FlyUnavailableError
from roost.fly.client import FlyClient
from roost.plan.backups import Backup
from roost.secret_text import SecretText

NAME = "acme-prefect-drill"
BACKUP = Backup("vs_1", "vol_1", "", 1, 1, "created", "", "", "")


def drill(create):
    """Drill where nobody sees an app of that name, and its creation is answered so; return the calls."""
    calls = []

    def answer(request):
        calls.append(f"{request.method} {request.url.path}")
        if request.method != "POST":
            return says(404)
        if create is None:
            raise httpx.ReadError("reset")
        return create

    async def run():
        transport = httpx.MockTransport(answer)
        async with (
            FlyClient("http://fly.test", SecretText("t"), transport=transport) as client,
            lease_holder(client, NAME, lambda _: None, "roost restore --drill") as leases,
        ):
            work = Work(client, leases, EveryName(), lambda _: None)
            await Driller(work, SimpleNamespace(app=NAME), desired_of()).drill(BACKUP, None)

    with stamina.set_testing(True, attempts=2, cap=True):
        try:
            virtual_time.run(run)
        except Exception as error:  # noqa: BLE001 - each test says which it has to be
            return calls, error
    pytest.fail("it went on")


@pytest.mark.parametrize(
    ("create", "error"),
    [
        (
            says(422, {"error": "Name has already been taken", "status": "name_taken"}),
            FlyRejectedError,
        ),
        (says(409, {"error": "already exists"}), FlyConflictError),
    ],
)
def test_an_app_that_somebody_else_has_is_not_removed(create, error):
    calls, ended = drill(create)

    assert isinstance(ended, error)
    assert calls == [f"GET /v1/apps/{NAME}", "POST /v1/apps"]


def test_an_app_of_which_nobody_heard_is_removed():
    calls, ended = drill(None)

    assert isinstance(ended, FlyUnavailableError)
    assert calls[-1] == f"DELETE /v1/apps/{NAME}"

"""open wakes a server and shows its address; logs prints what machines wrote, and wakes nobody."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest

from helpers.command_fixtures import write
from helpers.fly_answers import says
from roost.commands import logs as command
from roost.commands import open as opening
from roost.fly.logs import LogsClient
from roost.operations.context import PROJECT, Clients, Context
from roost.report.text import make_console

HEALTH = ("GET", "/api/health")


class FakeLogs:
    """Answers each token with a piece; the pieces follow each other."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.asked = []

    def __call__(self, request):
        """Answer one request."""
        self.asked.append(request)
        number = int(request.url.params.get("next_token") or 0)
        piece = self.pieces[number] if number < len(self.pieces) else []
        if isinstance(piece, int):
            return says(piece, {"error": "not authorized to retrieve app logs"})
        data = [{"id": str(n), "attributes": entry} for n, entry in enumerate(piece)]
        return says(200, {"data": data, "meta": {"next_token": str(number + 1)}})


@pytest.fixture
def written(clients):
    """Return a function that sets what Fly's API of logs answers."""

    def write(*pieces):
        found = FakeLogs(*pieces)
        bases = []

        def opened(base, token):
            bases.append(base)
            return LogsClient(base, token, transport=httpx.MockTransport(found))

        clients.use(logs=opened)
        found.bases = bases
        return found

    return write


def entry(message, **far):
    at = datetime.now(UTC) - timedelta(**far)
    return {"timestamp": at.isoformat(), "message": message, "instance": "m1", "level": "info"}


def test_lines_are_printed_in_order_until_there_are_no_more(roost, written, prefect, fly):
    found = written([entry("one"), entry("two")], [entry("three")])

    said = roost("logs", "staging")

    assert (said.code, said.err) == (0, "")
    assert [line.split(" ", 1)[1] for line in said.out.splitlines()] == [
        *("m1 one", "m1 two", "m1 three")
    ]
    assert found.bases == ["https://api.fly.io/api"]
    assert {request.url.path for request in found.asked} == {"/api/v1/apps/acme-prefect/logs"}
    assert (prefect.asked, fly.asked) == ([], [])


def test_only_lines_since_a_time_and_of_one_machine(roost, written):
    found = written([entry("old", minutes=11), entry("new", minutes=9)])

    said = roost("logs", "staging", "--since", "10m", "--machine", "m1", "--json")

    [line] = said.out.splitlines()
    assert json.loads(line)["message"] == "new"
    assert found.asked[0].url.params["instance"] == "m1"


def test_a_log_cannot_drive_the_terminal_nor_forge_a_line(roost, written):
    written([entry("\x1b[31mred\x1b[0m \x1b]0;title\x07[bold]x\n2026 forged")])

    [line] = roost("logs", "staging").out.splitlines()

    assert line.endswith("m1 red \\x1b]0;title\\x07[bold]x\\n2026 forged")


def test_it_is_followed_until_ctrl_c(roost, written, monkeypatch):
    written([entry("one")], [], [entry("two")])
    rests = []

    async def rest(seconds):
        rests.append(seconds)
        if len(rests) == 3:
            raise KeyboardInterrupt
        await anyio.lowlevel.checkpoint()

    monkeypatch.setitem(command.logs.__kwdefaults__, "sleep", rest)

    said = roost("logs", "staging", "--follow")

    assert said.code == 130
    assert said.out.splitlines()[-1].endswith("two")


def test_a_token_that_may_not_read_logs_is_told_what_may(roost, written):
    written(401)

    said = roost("logs", "staging")

    assert said.code == 1
    assert "fly-unauthorized" in said.err
    assert "fly tokens create org" in said.err


@pytest.mark.parametrize("since", ["10", "yesterday"])
def test_a_time_that_is_none_is_refused(roost, written, since):
    found = written([])

    said = roost("logs", "staging", "--since", since)

    assert (said.code, found.asked) == (3, [])
    assert "Examples: 10m, 2h" in said.err


def test_open_wakes_the_server_and_prints_its_address_where_there_is_no_browser(
    roost, prefect, monkeypatch
):
    for name in opening.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(opening.open_server.__kwdefaults__, "platform", "linux")
    monkeypatch.setitem(opening.open_server.__kwdefaults__, "browse", pytest.fail)

    said = roost("open", "staging")

    assert (said.code, said.out) == (0, "https://acme-prefect.fly.dev\n")
    assert "There is no browser here." in said.err
    assert HEALTH in prefect.asked


def test_a_server_without_pages_says_so_and_shows_the_address_of_its_api(
    roost, prefect, tmp_path, monkeypatch
):
    write(tmp_path, access={"ui": False})
    monkeypatch.setitem(opening.open_server.__kwdefaults__, "browse", pytest.fail)

    assert roost("apply", "staging").code == 0
    opened, seen = roost("open", "staging"), roost("status", "staging")

    assert (opened.code, opened.out) == (0, "https://acme-prefect.fly.dev/api\n")
    assert "without pages: access.ui is false" in opened.err
    assert HEALTH in prefect.asked
    assert "https://acme-prefect.fly.dev (the API alone: access.ui is false)" in seen.out
    assert json.loads(roost("status", "staging", "--json").out)["ui"] is False


@pytest.mark.parametrize("opens", [True, False])
def test_open_shows_it_in_the_browser_that_there_is(tmp_path, prefect, roost, clients, opens):  # noqa: ARG001 - `roost` writes the file
    shown = []

    def browse(url):
        shown.append(url)
        return opens

    out, err = io.StringIO(), io.StringIO()
    environ = {"ROOST_ENVIRONMENTS": str(tmp_path), "DISPLAY": ":0"}
    made: Clients = clients.made
    context = Context(environ, PROJECT, make_console(out), make_console(err), made)

    async def run():
        return await opening.open_server(
            context, "staging", local=False, browse=browse, platform="linux"
        )

    assert anyio.run(run) == 0
    assert shown == ["https://acme-prefect.fly.dev"]
    assert ("There is no browser here." in err.getvalue()) is not opens

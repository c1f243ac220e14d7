"""Which clients work: one table, which the documentation shows as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.measure import CLIENTS as MEASURED
from helpers.prefect_versions import NEWEST, OLDER
from roost.prefect.client_versions import CLIENTS, SERVERS, advise_clients

DOCUMENT = Path(__file__).parents[3] / "docs" / "prefect.md"
WORDS = {True: "works", False: "loses task runs and events"}


def test_the_document_shows_the_table():
    rows = [
        f"| {client.version} | Completed | {client.task_runs} of 3 | {client.events} of 1 | "
        f"{WORDS[client.works]} |"
        for client in CLIENTS
    ]

    assert "\n".join(rows) in DOCUMENT.read_text("utf-8")


def test_the_table_has_what_the_session_measures():
    assert tuple(client.version for client in CLIENTS) == MEASURED
    assert SERVERS == (OLDER, NEWEST)


@pytest.mark.parametrize("server", [*SERVERS, "3.8.2", "3.9.5"])
def test_a_server_s_clients_are_named_with_the_first_that_works(server):
    said = advise_clients(server)

    assert "3.6.21, 3.7.8, 3.8.8, 3.9.1 work" in said
    assert "3.1.10, 3.4.24, 3.6.13 complete flow runs and lose" in said
    assert said.endswith("Use 3.6.21 or later.")


@pytest.mark.parametrize("server", ["", "3.7.8", "3.10.0", "4.9.1", "3.9", "nonsense"])
def test_of_a_server_that_was_not_tried_nothing_is_said(server):
    assert advise_clients(server) == ""

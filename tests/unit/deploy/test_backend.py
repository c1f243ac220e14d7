"""The database that Prefect uses is named by its kind, without any part of its address."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost_server.backend import is_sqlite, name_backend

FILE = Path("/data/prefect.db")


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("sqlite+aiosqlite:////data/prefect.db", "sqlite on the volume"),
        ("sqlite+aiosqlite:////data/../data/prefect.db", "sqlite on the volume"),
        ("sqlite+aiosqlite:////data/prefect.db?timeout=5", "sqlite on the volume"),
        ("sqlite+aiosqlite:///file:/data/prefect.db?uri=true", "sqlite on the volume"),
        ("sqlite+aiosqlite:////data/other.db", "sqlite elsewhere"),
        ("sqlite+aiosqlite:///prefect.db", "sqlite elsewhere"),
        ("sqlite+aiosqlite:////tmp/prefect.db", "sqlite elsewhere"),
        ("sqlite+aiosqlite:///:memory:", "sqlite in memory"),
        ("sqlite+aiosqlite://", "sqlite in memory"),
        ("sqlite+aiosqlite:///file:x?mode=memory&cache=shared&uri=true", "sqlite in memory"),
        ("postgresql+asyncpg://u:p@h/db", "postgres"),
        ("postgres://u:p@h/db", "postgres"),
        ("mysql://u:p@h/db", "another database"),
    ],
)
def test_a_database_is_named_by_what_it_is(url, backend):
    assert name_backend(url, FILE) == backend
    assert is_sqlite(backend) is url.startswith("sqlite")


def test_a_volume_that_is_a_link_is_the_same_place(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "real")

    url = f"sqlite+aiosqlite:///{tmp_path}/real/prefect.db"

    assert name_backend(url, tmp_path / "data" / "prefect.db") == "sqlite on the volume"

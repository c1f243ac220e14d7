"""With which login a Postgres is dumped, and what a killed dump leaves; tests/e2e/test_postgres_backups.py dumps real ones."""

from __future__ import annotations

import os

import pytest

from helpers.environments import POSTGRES
from roost.errors import DumpError
from roost.operations.dumps import STALE_S, begin_part, remove_stale_parts
from roost.operations.postgres_dump import PostgresDumps

TLS = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_TLS"
URL = "postgresql://prefect:hunter2@db.acme.com/prefect"


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, "prefer"),
        ({f"{TLS}_ENABLED": "true"}, "verify-full"),
        ({f"{TLS}_ENABLED": "true", f"{TLS}_CHECK_HOSTNAME": "false"}, "verify-ca"),
    ],
)
def test_a_dump_verifies_the_server_as_prefect_s_settings_ask(
    roost, rewrite, monkeypatch, settings, mode
):
    logins = []

    async def dump(self, *_):
        logins.append(self.login)
        raise DumpError("not here")

    monkeypatch.setattr(PostgresDumps, "dump", dump)
    monkeypatch.setenv("DATABASE_URL", URL)
    rewrite(POSTGRES, prefect={"version": "3.8.8", "settings": settings})

    said = roost("backup", "staging")

    assert "not here" in said.err
    assert [login.address.mode for login in logins] == [mode]


def test_what_a_killed_backup_left_is_removed_and_that_of_a_running_one_stays(tmp_path):
    left, running = (begin_part(tmp_path, f"staging-{n}.dump", "staging") for n in (1, 2))
    now = running.stat().st_mtime
    os.utime(left, (now, now - STALE_S - 1))

    remove_stale_parts(tmp_path, now)

    assert list(tmp_path.iterdir()) == [running]


def test_a_dump_that_would_end_with_its_job_on_github_is_refused(
    roost, rewrite, monkeypatch, tmp_path
):
    made = []

    async def dump(self, *_):
        made.append(self.store.where)
        raise DumpError("not here")

    monkeypatch.setattr(PostgresDumps, "dump", dump)
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ROOST_BACKUPS", raising=False)
    rewrite(POSTGRES)

    refused = roost("backup", "staging")
    monkeypatch.setenv("ROOST_BACKUPS", str(tmp_path / "stays"))
    tried = roost("backup", "staging")

    assert refused.code == 3
    assert "The dump would be lost" in refused.err
    assert "not here" in tried.err
    assert made == [str(tmp_path / "stays" / "staging")]

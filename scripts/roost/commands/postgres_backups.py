"""`roost backup`, `roost backups` and `roost restore` of an environment whose database is a Postgres."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

from roost.apply.secret_values import check_usable, require
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import PostgresDatabase
from roost.errors import ExitCode, UsageError
from roost.errors.command import Command
from roost.fly.leases import Notice
from roost.operations.context import Context
from roost.operations.dump_bucket import store_of
from roost.operations.dumps import (
    Dump,
    dump_folder,
    remove_stale_parts,
)
from roost.operations.postgres_connection import (
    PostgresLogin,
    address_of,
    root_certificate,
    search_path_of,
)
from roost.operations.postgres_dump import PostgresDumps, named_after
from roost.operations.postgres_tools import PostgresTools
from roost.operations.secret_sources import given_values
from roost.plan.database_address import quoted
from roost.report.text import listing
from roost.report.wording import counted, short_time

STAMP = "%Y%m%dT%H%M%SZ"
MB = 10**6


def uses_postgres(context: Context, name: str) -> bool:
    """Return whether an environment's database is a Postgres."""
    file = load_environment(name, context.environments)
    return isinstance(file.environment.database, PostgresDatabase)


async def backup(context: Context, name: str, *, as_json: bool) -> ExitCode:
    """Dump the rows into a file or a bucket, as of one moment; the server serves meanwhile.

    Raises:
        UsageError: the dump would be lost with the job that makes it.
        DumpError: the database refused, or what was written is not whole.
        BucketError: the bucket does not take it.
    """
    file = load_environment(name, context.environments)
    _check_stays(context, file)
    dumps = _open(context, file)
    now = datetime.now(UTC)
    remove_stale_parts(dumps.folder, now.timestamp())
    dump, place = await dumps.dump(now.strftime(STAMP), now.isoformat(timespec="seconds"))
    removed = await dumps.store.prune(now)
    if as_json:
        document = {**asdict(dump), "path": place, "removed": list(removed)}
        context.out.print_json(json.dumps(document))
        return ExitCode.DONE
    if removed:
        context.progress.print(
            f"  removed {counted(len(removed), 'dump')} that were kept long enough",
            markup=False,
        )
    context.out.print(
        f"{place}: {dump.size / MB:.1f} MB, {dump.count} rows of {len(dump.rows)} tables, as of {short_time(dump.at)}.\n"
        "It holds every row, with the key of Prefect's secret blocks: store it as you store passwords.\n"
        f"Practise a restore: {Command('restore', name, '--drill')}",
        soft_wrap=True,
    )
    return ExitCode.DONE


async def backups(context: Context, name: str, *, as_json: bool) -> ExitCode:
    """List the dumps: when, how large, how many rows.

    Raises:
        MissingSecretError: no source has a key of the bucket.
        BucketError: the bucket cannot be read.
    """
    file = load_environment(name, context.environments)
    store = store_of(context, file, _notice(context))
    found = await store.dumps()
    if as_json:
        identity = {"environment": name, "app": file.environment.app, "folder": store.where}
        context.out.print_json(json.dumps({**identity, "backups": [asdict(d) for d in found]}))
    elif not found:
        context.out.print(
            f"{name} has no dump in {store.where} yet. Make one: {Command('backup', name)}. Backups that your "
            "provider makes are on its pages.",
            soft_wrap=True,
        )
    else:
        columns = ("dump", "made", "size", "rows", "PostgreSQL")
        context.out.print(listing(columns, _rows(found)))
    return ExitCode.DONE


def _rows(found: Iterable[Dump]) -> Iterable[tuple[str, ...]]:
    for dump in found:
        size = f"{dump.size / MB:.1f} MB"
        yield dump.name, short_time(dump.at), size, str(dump.count), dump.server


async def restore(context: Context, name: str, *, dump: str, as_json: bool) -> ExitCode:
    """Restore a dump into a new database beside the one in use, and say how to change over."""
    dumps = _open(context, load_environment(name, context.environments))
    chosen = await _choose(dumps, dump, name)
    old = dumps.login.address.database
    new = named_after(old, f"_{datetime.now(UTC).strftime(STAMP).lower()}")
    await dumps.restore(chosen, new)
    secret = _secret_of(load_environment(name, context.environments))
    if as_json:
        document = {"environment": name, "dump": chosen.name, "database": new, "before": old}
        context.out.print_json(json.dumps({**document, "rows": dict(chosen.rows)}))
        return ExitCode.DONE
    context.out.print(
        f"{chosen.name} is in the new database {new}, with all {chosen.count} rows. The server still uses {old}.\n"
        f"To change over: write {new} in the place of {old} into {secret}, then {Command('apply', name)}, "
        f"which tries it, proves the server and goes back if it fails. Rows written to {old} since "
        f"{short_time(chosen.at)} stay there.\n"
        f"To go back: write {old} again, and apply. Once you are sure: DROP DATABASE {quoted(old)}",
        soft_wrap=True,
        markup=False,
    )
    return ExitCode.DONE


async def drill(context: Context, name: str, *, dump: str, as_json: bool) -> ExitCode:
    """Restore a dump into a database that is dropped again, and count its rows.

    Raises:
        DumpError: it cannot be restored, or rows are missing.
        BucketError: the bucket does not give it.
    """
    began = time.monotonic()
    dumps = _open(context, load_environment(name, context.environments))
    chosen = await _choose(dumps, dump, name)
    async with dumps.drilled(chosen):
        pass
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        document = {"environment": name, "dump": chosen.name, "at": chosen.at, "seconds": seconds}
        context.out.print_json(json.dumps({**document, "rows": dict(chosen.rows)}))
    else:
        context.out.print(
            f"{chosen.name} of {short_time(chosen.at)} was restored in {seconds} s, with all {chosen.count} rows of "
            f"{len(chosen.rows)} tables. The database of the drill is dropped.",
            soft_wrap=True,
        )
    return ExitCode.DONE


def nothing_to_confirm(context: Context, name: str) -> UsageError:
    """Return the error for a confirmation, which only a volume needs."""
    secret = _secret_of(load_environment(name, context.environments))
    return UsageError(
        "The database is Postgres: no volume is kept.",
        where=name,
        advice=f"After a restore, drop the database that {secret} named before, with SQL.",
    )


def _check_stays(context: Context, file: EnvironmentFile) -> None:
    """Check that the dump outlives the job that makes it.

    Raises:
        UsageError: it would be on a runner's disk, which ends with the job.
    """
    environ = context.environ
    if environ.get("GITHUB_ACTIONS") != "true" or file.environment.backups:
        return
    if not environ.get("ROOST_BACKUPS"):
        raise UsageError(
            "The dump would be lost: it would be on the runner's disk, which ends with this job. Nothing was dumped.",
            where=file.name,
            advice="Name a bucket in database.backups (docs/postgres.md), or in ROOST_BACKUPS a folder that stays.",
        )


def _notice(context: Context) -> Notice:
    return lambda line: context.progress.print(f"  {line}", markup=False)


def _open(context: Context, file: EnvironmentFile) -> PostgresDumps:
    """Return what dumps an environment's database.

    Raises:
        MissingSecretError: no source has the address, or a key of the bucket.
        UnusableSecretError: the address cannot work.
    """
    values = given_values(context, file)
    check_usable(values)
    secret = _secret_of(file)
    require([secret], values)
    address = address_of(file.environment, values.found[secret])
    assert address is not None  # noqa: S101 - the form of the value was checked
    pem, path = root_certificate(address, values), search_path_of(file.environment)
    login = PostgresLogin(address.hosts[0], address, pem, path)
    return PostgresDumps(
        login,
        PostgresTools(file.name, context.environ),
        dump_folder(context, file.name),
        store_of(context, file, _notice(context)),
        _notice(context),
    )


def _secret_of(file: EnvironmentFile) -> str:
    database = file.environment.database
    assert isinstance(database, PostgresDatabase)  # noqa: S101 - `uses_postgres` was asked
    return database.url_secret


async def _choose(dumps: PostgresDumps, wanted: str, name: str) -> Dump:
    """Return the dump of that name, or the newest.

    Raises:
        UsageError: there is none.
    """
    found = await dumps.store.dumps()
    chosen = next((d for d in found if wanted in ("", d.name)), None)
    if chosen is None:
        what = f"There is no whole dump {wanted}" if wanted else "There is no dump"
        raise UsageError(
            f"{what} in {dumps.store.where}.",
            where=name,
            advice=f"Make one: {Command('backup', name)}. Another place is named in database.backups or ROOST_BACKUPS.",
        )
    return chosen

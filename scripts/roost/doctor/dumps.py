"""Check how old the newest dump is that an environment keeps in a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from roost.doctor.check import Check, missing, ok, unknown
from roost.environment.load import EnvironmentFile
from roost.errors import MissingSecretError, RoostError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.dump_bucket import store_of
from roost.report.wording import counted, short_time

OLD = timedelta(days=2)
"""The schedule dumps twice a day."""
_HOUR_S = 3600


async def dump_checks(
    context: Context, file: EnvironmentFile, now: datetime
) -> AsyncIterator[Check]:
    """Check the newest dump of an environment that keeps them in a bucket; nothing for others."""
    name = file.name
    if not file.environment.backups:
        return
    try:
        store = store_of(context, file, lambda _: None)
        found = await store.dumps()
    except MissingSecretError as error:
        yield unknown(f"its dumps were not looked at: {error.what}", "", name)
        return
    except RoostError as error:
        yield missing(f"its dumps cannot be read: {error.what}", str(error.advice), name)
        return
    if not found:
        yield missing(f"there is no dump in {store.where}", Command("backup", name).typed, name)
        return
    newest = found[0]
    age = now - datetime.fromisoformat(newest.at)
    old = counted(int(age.total_seconds() // _HOUR_S), "hour")
    what = f"the newest dump, of {short_time(newest.at)}, is {old} old: {newest.count} rows"
    if age > OLD:
        mend = f"see the last run of Drift, or {Command('backup', name).typed}"
        yield missing(what, mend, name)
    else:
        yield ok(what, name)

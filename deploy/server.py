"""The machine's program: `python server.py` serves Prefect.

`python server.py bake` prepares the image at build time, `python server.py try-database` checks
whether a Postgres database can be used, `python server.py move-database` copies the one on the
volume to it, and `python server.py move-to-volume` copies it to an empty volume.
"""

from __future__ import annotations

import gc
import os
import sys
import time

# Importing Prefect creates many objects that stay alive: collecting garbage meanwhile only costs
# time.
gc.disable()

from roost_server.errors import BootError  # noqa: E402 - after the collector is off
from roost_server.settings import (  # noqa: E402 - as above
    has_replica,
    image_settings,
    lease_settings,
    uses_sqlite_file,
)


def main(argv: list[str]) -> int:
    """Run one of the five commands and return the exit code.

    Prefect reads its settings when it is imported, so they must be in the environment before that.
    """
    began = time.monotonic()
    for name, value in image_settings(os.environ).items():
        os.environ.setdefault(name, value)
    if argv == ["bake"]:
        from roost_server.bake import bake

        return bake(os.environ)
    if argv == ["try-database"]:
        from roost_server.postgres_trial import try_database
        from roost_server.privileges import drop_privileges

        os.environ.update(drop_privileges(os.environ))
        return try_database(os.environ)
    if argv == ["move-database"]:
        from roost_server.move_database import move_database
        from roost_server.privileges import drop_privileges

        os.environ.update(drop_privileges(os.environ))
        return move_database(os.environ)
    if argv == ["move-to-volume"]:
        from roost_server.move_to_volume import move_to_volume
        from roost_server.privileges import drop_privileges

        os.environ.update(drop_privileges(os.environ))
        return move_to_volume(os.environ)
    try:
        prepare()
        from roost_server.serve import serve

        return serve(os.environ, began)
    except BootError as error:
        print(f"roost: the server cannot start: {error}.", file=sys.stderr)
        report_failure(str(error))
        return 1
    except Exception as failure:
        report_failure(failure)
        raise


def report_failure(failure: str | Exception) -> None:
    """Write why the server ends into the machine's metadata, without secrets."""
    from roost_machine.exit_reason import write_exit_reason
    from roost_server.last_error import LAST_ERROR, name_failure

    LAST_ERROR.learn_secrets(os.environ)
    text = failure if isinstance(failure, str) else name_failure(failure)
    write_exit_reason(LAST_ERROR.redact(text), os.environ)


def prepare() -> None:
    """Prepare the volume and the settings, in the order in which the steps depend on each other.

    `setdefault` keeps a value that the user set.
    """
    from roost_server.lease_keeping import clear_locks
    from roost_server.move_note import guard_move
    from roost_server.postgres_address import database_settings
    from roost_server.privileges import drop_privileges
    from roost_server.redis_settings import redis_settings
    from roost_server.seed_database import seed
    from roost_server.upgrade import guard_upgrade

    os.environ.update(drop_privileges(os.environ))
    if has_replica(os.environ):
        from roost_server.replica_config import restore_lost

        restore_lost(os.environ)
    guard_move(os.environ, time.time())
    guard_upgrade(os.environ, time.time())
    for name, value in (lease_settings(os.environ) | seed(os.environ)).items():
        os.environ.setdefault(name, value)
    clear_locks(os.environ)
    os.environ.update(database_settings(os.environ))
    os.environ.update(redis_settings(os.environ))
    if not uses_sqlite_file(os.environ):
        prepare_postgres()


def prepare_postgres() -> None:
    """Set what depends on the machine's certificates and the database's pooler; check the Redis."""
    from roost_server.postgres_certificate import certificate_settings
    from roost_server.postgres_pooler import probe_pooling
    from roost_server.redis_check import check_redis

    os.environ.update(certificate_settings(os.environ))
    os.environ.update(probe_pooling(os.environ))
    check_redis(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

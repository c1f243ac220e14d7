"""Run Litestream beside the server, and report when the replica is incomplete.

Litestream is a process of its own. If it fails, the server continues and the log reports it.

The replica is a chain of changes read from SQLite's write-ahead log. A gap in the chain would
damage a restored database. While Litestream runs, an endless read transaction keeps SQLite from
restarting the log. Litestream may miss what was written while it did not run, without noticing. So
each start empties the log first: Litestream then does not find its last position and sends the
whole database.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from roost_machine.unix_http import UnixConnection
from roost_server.replica_config import (
    CONFIG,
    LAST_SYNC_S,
    PROGRAM,
    SOCKET,
    Replica,
    working_folder,
)

# Runs a command until our end of its input closes, which also happens when this process is killed.
# It then sends one SIGTERM: Litestream takes a second signal as permission to send nothing more,
# and PR_SET_PDEATHSIG would send one for each of our threads.
KEEPER = """
exec 3<&0
"$@" 3<&- </dev/null & command=$!
{ cat <&3 >/dev/null; kill -TERM "$command" 2>/dev/null; } & watch=$!
exec 3<&-
wait "$command"; code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""
FIRST_BACKOFF_S, LAST_BACKOFF_S = 1.0, 60.0
STEADY_S = 60.0  # a run this long resets the back-off
FIRST_LOOK_S, LOOK_S = 0.05, 30.0
ASK_LIMIT_S = 10.0
FLUSH_LIMIT_S = 10.0
EMPTY_LIMIT_S = 5.0
REPORT_AGAIN_S = 900.0
END_LIMIT_S = LAST_SYNC_S + 2


class NotCopiedError(Exception):
    """The replica is incomplete; the message has the reason."""


@dataclass(frozen=True)
class Progress:
    """Numbers of the last change found in the database and the last change sent to the bucket."""

    found: int
    sent: int


class Replicator:
    """Litestream as a child process: it is started, watched, and stopped after the server."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._ending = threading.Event()
        self._lag = LagReport(replica.url)
        self._threads = [
            threading.Thread(target=work, name=f"litestream-{work.__name__}", daemon=True)
            for work in (self._keep_running, self._keep_checking)
        ]

    def start(self) -> None:
        """Start to replicate; return at once."""
        for thread in self._threads:
            thread.start()

    def send(self, limit_s: float = FLUSH_LIMIT_S) -> None:
        """Wait until everything that is committed now is sent.

        Raises:
            NotCopiedError: it was not sent within `limit_s` seconds.
        """
        deadline = time.monotonic() + limit_s
        wanted = (progress := self._progress()).found
        while progress.sent < wanted:
            if time.monotonic() > deadline:
                raise NotCopiedError(
                    f"nothing was sent for {limit_s:g} s; see Litestream's messages above"
                )
            time.sleep(FIRST_LOOK_S)
            progress = self._progress()

    def flush(self) -> None:
        """Send everything before the machine sleeps; log what prevents it."""
        self._check()

    def stop(self) -> None:
        """Stop Litestream after it sent the rest; the server has ended by now."""
        self._ending.set()
        process = self._process
        if process is not None:
            ask_to_end(process)
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                print(
                    "roost: Litestream did not stop in time; the replica may lack the last writes"
                )
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(END_LIMIT_S)

    def _progress(self) -> Progress:
        """Make Litestream look for changes now, and return its progress; it sends them by itself.

        Litestream can also wait until they are sent (`wait`, `timeout`). Litestream 0.5.17 then
        ends its read transaction with the reply, and without it the log may be restarted.
        """
        folder = self._folder
        if folder is None:
            raise NotCopiedError("Litestream does not run")
        connection = UnixConnection(folder / SOCKET, ASK_LIMIT_S)
        try:
            wanted = json.dumps({"path": str(self._replica.database)})
            connection.request("POST", "/sync", wanted)
            answer = connection.getresponse()
            reply = json.loads(answer.read())
            if answer.status != http.client.OK:
                raise NotCopiedError(self._replica.hide_keys(str(reply["error"])))
            return Progress(reply["txid"], reply["replicated_txid"])
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise NotCopiedError(f"Litestream does not answer: {error!r}") from None
        finally:
            connection.close()

    def _check(self) -> bool:
        """Return whether the replica is complete; log a change of that."""
        try:
            self.send()
        except NotCopiedError as error:
            self._lag.note(str(error))
            return False
        self._lag.note("")
        return True

    def _keep_checking(self) -> None:
        """Make Litestream open the database at once, then check the replica at intervals."""
        pause = FIRST_LOOK_S
        while pause < LOOK_S and not self._ending.wait(pause):
            try:
                self._progress()
                break
            except NotCopiedError:
                pause *= 2
        else:
            self._check()  # Litestream never opened the database: report it now
        # A check sends what it finds, so it must not run more often than the configured interval.
        while not self._ending.wait(max(LOOK_S, self._replica.every_s)):
            self._check()

    def _keep_running(self) -> None:
        """Start Litestream again whenever it ends, with a growing delay."""
        backoff = FIRST_BACKOFF_S
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                empty_log(self._replica.database)
                end = f"Litestream ended with exit code {self._run()}"
            except (OSError, sqlite3.Error) as error:
                end = f"Litestream cannot be started ({error})"
            if self._ending.is_set():
                return
            if time.monotonic() - began > STEADY_S:
                backoff = FIRST_BACKOFF_S
            print(
                f"roost: {end}; it is started again in {backoff:g} s, "
                "and nothing is copied until then",
                flush=True,
            )
            self._ending.wait(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)

    def _run(self) -> int:
        """Run Litestream until it ends; return its exit code."""
        with working_folder(self._replica) as folder:
            # In a session of its own, a signal for the server's group does not reach it. It
            # inherits our log: if we forwarded its output, it would end with us in the middle of a
            # line.
            command = (PROGRAM, "replicate", "-no-expand-env", "-config", CONFIG)
            process = subprocess.Popen(  # noqa: S603 - the programs of the image
                ["/bin/sh", "-c", KEEPER, "keeper", *command],
                cwd=folder,
                env=self._replica.environ(folder),
                stdin=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # our stderr may be withheld (settings_errors)
                start_new_session=True,
            )
            self._folder, self._process = folder, process
            if self._ending.is_set():  # `stop` was called before the process was stored
                ask_to_end(process)
            code = process.wait()
            ask_to_end(process)  # ends the command if the shell around it was killed
            self._folder = None
            return code


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Make the shell around Litestream send it a SIGTERM."""
    if process.stdin:
        process.stdin.close()


class LagReport:
    """Logs why the replica is incomplete: at the beginning, at intervals, and at the end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._reported_at: float | None = None

    def note(self, reason: str) -> None:
        """Record the result of one check: a reason, or "" if the replica is complete."""
        now = time.monotonic()
        if reason and (self._reported_at is None or now - self._reported_at >= REPORT_AGAIN_S):
            self._reported_at = now
            print(
                f"roost: the replica {self._url} is behind: {reason}; the server continues, "
                "and new writes are only on the volume until this is fixed",
                flush=True,
            )
        elif not reason and self._reported_at is not None:
            self._reported_at = None
            print(f"roost: the replica {self._url} is complete again", flush=True)


def empty_log(database: Path, limit_s: float = EMPTY_LIMIT_S) -> None:
    """Move the whole write-ahead log into the database, and empty it.

    Args:
        database: the database file.
        limit_s: how long to wait for other readers and writers, in seconds.

    Raises:
        sqlite3.Error: others use the database all the time, or it does not exist.
    """
    address = f"{database.as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=limit_s)) as connection:
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if busy:
        raise sqlite3.OperationalError("the database is in use all the time")

"""Keep Litestream running beside the server, and know whether the copy is complete.

It is a process of its own: should it fail, the server does not, and the log says so.

The copy is a chain of changes read from SQLite's write-ahead log, and must have no gap: a restored
database would be damaged. Litestream keeps the log from beginning anew while it runs, by a read that
never ends. What was written while it did not run it may miss, and not know. So every start empties the
log first: then it cannot find where it left off, and sends the whole database.
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

from roost_server.replica_config import (
    CONFIG,
    LAST_SYNC_S,
    PROGRAM,
    SOCKET,
    Replica,
    working_folder,
)
from roost_server.unix_http import UnixConnection

# Runs a command until its own input ends, which it does when we close it, or end in any way. Then the
# command is asked to end, once: Litestream takes a second signal for leave to send nothing more, and
# the kernel's own (PR_SET_PDEATHSIG) comes once for each thread of ours.
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
STEADY_S = 60.0  # who ran that long is started again at once
FIRST_LOOK_S, LOOK_S = 0.05, 30.0
ASK_LIMIT_S = 10.0
FLUSH_LIMIT_S = 10.0
EMPTY_LIMIT_S = 5.0
REPORT_AGAIN_S = 900.0
END_LIMIT_S = LAST_SYNC_S + 2


class NotCopiedError(Exception):
    """Why the copy is not complete."""


@dataclass(frozen=True)
class Progress:
    """Numbers of changes: the last one found in the database, and the last one in the bucket."""

    found: int
    sent: int


class Replicator:
    """Litestream as our child: started, watched, asked to send what is left, and ended last."""

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
        """Begin to copy; returns at once."""
        for thread in self._threads:
            thread.start()

    def send(self, limit_s: float = FLUSH_LIMIT_S) -> None:
        """Have everything sent that is committed now, and wait for it.

        Raises:
            NotCopiedError: it was not sent in time.
        """
        deadline = time.monotonic() + limit_s
        wanted = (progress := self._progress()).found
        while progress.sent < wanted:
            if time.monotonic() > deadline:
                raise NotCopiedError(
                    f"nothing was sent for {limit_s:g} s, see what Litestream says above"
                )
            time.sleep(FIRST_LOOK_S)
            progress = self._progress()

    def flush(self) -> None:
        """Have everything sent before the machine sleeps, or say what is in the way."""
        self._check()

    def stop(self) -> None:
        """End it, after it has sent what is left; the server is over by now."""
        self._ending.set()
        process = self._process
        if process is not None:
            ask_to_end(process)
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                print("roost: Litestream did not end in time; the replica may lack the last writes")
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(END_LIMIT_S)

    def _progress(self) -> Progress:
        """Have it look for changes in the database now; it sends them by itself.

        It can wait for that, too (`wait`, `timeout`). But then Litestream 0.5.17 drops its endless
        read when the answer is given, and with it what keeps the log whole.
        """
        folder = self._folder
        if folder is None:
            raise NotCopiedError("Litestream does not run")
        connection = UnixConnection(folder / SOCKET, ASK_LIMIT_S)
        try:
            wanted = json.dumps({"path": str(self._replica.database)})
            connection.request("POST", "/sync", wanted)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status != http.client.OK:
                raise NotCopiedError(self._replica.hide_keys(str(told["error"])))
            return Progress(told["txid"], told["replicated_txid"])
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise NotCopiedError(f"Litestream does not answer: {error!r}") from None
        finally:
            connection.close()

    def _check(self) -> bool:
        """See whether the copy is complete, and tell it where that changes."""
        try:
            self.send()
        except NotCopiedError as error:
            self._lag.note(str(error))
            return False
        self._lag.note("")
        return True

    def _keep_checking(self) -> None:
        """Have it take hold of the database at once, then see every while that it copies."""
        pause = FIRST_LOOK_S
        while pause < LOOK_S and not self._ending.wait(pause):
            try:
                self._progress()
                break
            except NotCopiedError:
                pause *= 2
        else:
            self._check()  # it never took hold: that is told now, and not after an interval
        # A look sends what is there: it must not come more often than sending was asked for.
        while not self._ending.wait(max(LOOK_S, self._replica.every_s)):
            self._check()

    def _keep_running(self) -> None:
        """Start it again whenever it ends, later each time."""
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
        """Run it once; return its exit code."""
        with working_folder(self._replica) as folder:
            # A session of its own: the signal that ends the server must not reach it meanwhile.
            # And a log that is not ours to pass on: a reader that dies would end it in mid-sentence.
            command = (PROGRAM, "replicate", "-no-expand-env", "-config", CONFIG)
            process = subprocess.Popen(  # noqa: S603 - the programs of the image
                ["/bin/sh", "-c", KEEPER, "keeper", *command],
                cwd=folder,
                env=self._replica.environ(folder),
                stdin=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # ours may be held back just now
                start_new_session=True,
            )
            self._folder, self._process = folder, process
            if self._ending.is_set():  # asked to stop between the two
                ask_to_end(process)
            code = process.wait()
            ask_to_end(process)  # whoever outlived the keeper
            self._folder = None
            return code


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Have the keeper end what it runs."""
    if process.stdin:
        process.stdin.close()


class LagReport:
    """What keeps the copy from being complete, told when it begins, now and again, and at its end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._reported_at: float | None = None

    def note(self, reason: str) -> None:
        """Take the outcome of one look: a reason, or "" where all is well."""
        now = time.monotonic()
        if reason and (self._reported_at is None or now - self._reported_at >= REPORT_AGAIN_S):
            self._reported_at = now
            print(
                f"roost: the replica {self._url} is behind: {reason}; the server goes on, "
                "and what it writes is on the volume alone until this is mended",
                flush=True,
            )
        elif not reason and self._reported_at is not None:
            self._reported_at = None
            print(f"roost: the replica {self._url} has everything again", flush=True)


def empty_log(database: Path, limit_s: float = EMPTY_LIMIT_S) -> None:
    """Move the whole write-ahead log into the database, so that nothing of it is left to be read.

    Args:
        database: the file.
        limit_s: how long others may still read and write.

    Raises:
        sqlite3.Error: somebody reads or writes all the time, or there is no database.
    """
    address = f"{database.as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=limit_s)) as connection:
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if busy:
        raise sqlite3.OperationalError("the database is in use all the time")

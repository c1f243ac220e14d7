"""Keep Litestream running beside the server, and know whether the copy is complete.

It is a process of its own: should it fail, the server does not, and the log says so.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
import time
from pathlib import Path

from roost_server.replica import (
    CONFIG,
    LAST_SYNC_S,
    PROGRAM,
    SOCKET,
    Replica,
    forget_state,
    working_folder,
)
from roost_server.unix_http import UnixConnection

FIRST_BACKOFF_S, LAST_BACKOFF_S = 1.0, 60.0
STEADY_S = 60.0  # who ran that long is started again at once
FIRST_LOOK_S, LOOK_S = 0.05, 30.0
SYNC_LIMIT_S = 10.0
TELL_AGAIN_S = 900.0
END_LIMIT_S = LAST_SYNC_S + 2
# Its notes on the volume do not fit what it wants to send: only the whole database helps.
LOST_NOTES = re.compile(r"\b(open|decode) ltx file\b")


class Replicator:
    """Litestream as our child: started, watched, asked to send what is left, and ended last."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._process: subprocess.Popen[str] | None = None
        self._folder: Path | None = None
        self._ending = threading.Event()
        self._begin_anew = False
        self._trouble = Trouble(replica.url)
        self._threads = [
            threading.Thread(target=work, name=f"litestream-{work.__name__}", daemon=True)
            for work in (self._keep_running, self._keep_looking)
        ]

    def start(self) -> None:
        """Begin to copy; returns at once."""
        for thread in self._threads:
            thread.start()

    def sync(self, limit_s: float = SYNC_LIMIT_S) -> str:
        """Have everything that is committed sent now; give what is in the way, "" for nothing."""
        folder = self._folder
        if folder is None:
            return "Litestream does not run"
        wanted = {"path": str(self._replica.database), "wait": True, "timeout": round(limit_s)}
        connection = UnixConnection(folder / SOCKET, limit_s + 1)
        try:
            connection.request("POST", "/sync", json.dumps(wanted))
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return f"Litestream does not answer: {error!r}"
        finally:
            connection.close()
        return "" if answer.status == http.client.OK else self._replica.hide_keys(reason_in(text))

    def flush(self) -> None:
        """Have everything sent before the machine sleeps, or say what is in the way."""
        self._trouble.note(self.sync())

    def stop(self) -> None:
        """End it, after it has sent what is left; the server is over by now."""
        self._ending.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                print("roost: Litestream did not end in time; the replica may lack the last writes")
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(END_LIMIT_S)

    def _keep_running(self) -> None:
        """Start it again whenever it ends, later each time."""
        backoff = FIRST_BACKOFF_S
        while not self._ending.is_set():
            began = time.monotonic()
            kept = None if self._begin_anew else self._replica.state
            forget_state(self._replica.database.parent, keep=kept)
            self._begin_anew = False
            try:
                end = f"exit code {self._run()}"
            except OSError as error:
                end = str(error)
            if self._ending.is_set():
                return
            if time.monotonic() - began > STEADY_S:
                backoff = FIRST_BACKOFF_S
            print(
                f"roost: Litestream ended ({end}); it is started again in {backoff:g} s, "
                "and nothing is copied until then",
                flush=True,
            )
            self._ending.wait(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)

    def _run(self) -> int:
        """Run it once, and pass on what it says; give its exit code."""
        with working_folder(self._replica) as folder:
            # A session of its own: the signal that ends the server must not reach it meanwhile.
            process = subprocess.Popen(  # noqa: S603 - the program of the image
                [*PROGRAM, "replicate", "-no-expand-env", "-config", CONFIG],
                cwd=folder,
                env=self._replica.environ(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._folder, self._process = folder, process
            if self._ending.is_set():  # asked to stop between the two
                process.terminate()
            with process:
                for line in process.stdout or ():
                    print(f"litestream: {self._replica.hide_keys(line.rstrip())}", flush=True)
            self._folder = None
            return process.returncode

    def _keep_looking(self) -> None:
        """Have it take hold of the database at once, then see every while that it copies."""
        pause = FIRST_LOOK_S
        while not self._ending.wait(pause):
            reason = self.sync()
            if self._ending.is_set():
                return
            if pause == LOOK_S or not reason:
                self._trouble.note(reason)
            if pause == LOOK_S and LOST_NOTES.search(reason):
                self._send_all_anew()
            pause = LOOK_S if not reason else min(2 * pause, LOOK_S)

    def _send_all_anew(self) -> None:
        """End it, and have it begin with the whole database: it goes on from what the bucket has."""
        self._begin_anew = True
        process = self._process
        if process is not None:
            process.terminate()


class Trouble:
    """What keeps the copy from being complete, told when it begins, now and again, and at its end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._told_at: float | None = None

    def note(self, reason: str) -> None:
        """Take the outcome of one look: a reason, or "" where all is well."""
        now = time.monotonic()
        if reason and (self._told_at is None or now - self._told_at >= TELL_AGAIN_S):
            self._told_at = now
            print(
                f"roost: the replica {self._url} is behind: {reason}; the server goes on, "
                "and what it writes is on the volume alone until this is mended",
                flush=True,
            )
        elif not reason and self._told_at is not None:
            self._told_at = None
            print(f"roost: the replica {self._url} has everything again", flush=True)


def reason_in(text: str) -> str:
    """Give the error of an answer of Litestream's."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "no reason given"

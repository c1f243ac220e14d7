"""Run the waker from its start to its end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import MutableMapping
from datetime import UTC, datetime

from roost_machine.exit_reason import write_exit_reason
from roost_machine.image_user import become, image_user
from roost_machine.log import log
from roost_waker.announcement import FARTHEST, read_announcement
from roost_waker.book import Book
from roost_waker.endpoint import Endpoint, Handlers
from roost_waker.errors import AnnouncementError, WakerError
from roost_waker.keeper import Keeper
from roost_waker.proof import Proof
from roost_waker.settings import Settings, read_settings
from roost_waker.waking import LOOK_S, Waking, request_address


def launch(environ: MutableMapping[str, str]) -> int:
    """Run until the machine stops or something fails; return the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        if user := image_user():
            environ.update(become(user, environ))
        Waker(read_settings(environ), environ, stopping).run()
    except WakerError as error:
        text = f"the waker cannot run: {error}."
        print(f"roost: {text}", file=sys.stderr, flush=True)
        write_exit_reason(text, environ)
        return 1
    return 0


class Waker:
    """One start of the waker.

    Args:
        settings: of this start.
        environ: the machine's variables.
        stopping: is set when the machine stops.
    """

    def __init__(
        self, settings: Settings, environ: MutableMapping[str, str], stopping: threading.Event
    ) -> None:
        self._settings, self._stopping = settings, stopping
        self._book = Book(own=environ.get("FLY_APP_NAME", ""))
        self._keeper = Keeper(self._book, environ, local=settings.is_local)
        self._waking = Waking(self._book, self._keeper.keep, request_address)
        self._proof = Proof(settings, environ, stopping)

    def run(self) -> None:
        """Take announcements and wake servers until the machine stops."""
        handlers = Handlers(self.take, self.describe, self._proof.note_wake)
        endpoint = Endpoint(self._settings.host, self._settings.port, handlers)
        endpoint.start()
        threading.Thread(target=self._proof.run, daemon=True).start()
        try:
            self._run()
        finally:
            endpoint.close()
            self._keeper.keep_all()

    def _run(self) -> None:
        loaded = self._keeper.load()
        log(f"the waker runs, with {len(self._book.all())} servers to wake")
        if not loaded:
            log("Fly does not answer with this machine's metadata; asking again")
        while not self._stopping.is_set():
            loaded = loaded or self._keeper.load()
            try:
                self._waking.step()
            except Exception as error:  # noqa: BLE001 - no entry may end the waker of all servers
                log(f"looking for due servers failed ({type(error).__name__}); trying again")
            self._stopping.wait(LOOK_S)

    def take(self, text: bytes) -> bool:
        """Take an announcement; return whether it is kept over a restart.

        Raises:
            AnnouncementError: it is not valid.
            FullError: it is one app too many.
        """
        announcement = read_announcement(text, local=self._settings.is_local)
        if announcement.at and announcement.at > datetime.now(UTC) + FARTHEST:
            raise AnnouncementError(f"at must be within {FARTHEST.days} days")
        self._book.put(announcement)
        return self._keeper.keep(announcement.app)

    def describe(self) -> dict[str, object]:
        """Return what the waker knows, counted."""
        counts = self._book.counts(datetime.now(UTC))
        return {"version": self._settings.version, "proved": self._proof.done, **vars(counts)}

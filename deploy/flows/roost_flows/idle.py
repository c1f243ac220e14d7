"""Suspend or stop the machine when it is idle, without losing a run that is handed out meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost_flows.clock import Clock
from roost_flows.due import reason_to_stay_awake
from roost_flows.errors import FencedError, LaunchError
from roost_flows.processes import SETTLE_S, Running
from roost_flows.server_client import ServerClient
from roost_flows.settings import Settings
from roost_machine.log import log
from roost_machine.sleep_request import ACTIONS, FlyReply

# Prefect sends logs every 2 s, and those of a run that just ended must have arrived.
LEAST_QUIET_S = 3.0
# A stop waits for the end of a request, and has better use for its time.
LIMIT_S = 10.0
# How often the server is asked while it has a reason to keep the machine awake.
ASK_S = 10.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 5.0, 300.0
# After Fly agreed, the machine freezes soon. It is awake again when a clock jumped, or when this
# time passed and a request came through the proxy, or at the latest after the limit.
TICK_S, JUMP_S, SURE_S, ASLEEP_LIMIT_S = 0.2, 1.5, 2.0, 30.0


class Door(Protocol):
    """Where requests through Fly's proxy arrive."""

    wakes: int


class IdleWatch:
    """Watches for idle time; call `step` again and again."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is something else that it watches or asks
        self,
        settings: Settings,
        client: ServerClient,
        running: Running,
        door: Door,
        clock: Clock,
        ask: Callable[[str], FlyReply],
    ) -> None:
        self._settings, self._client, self._running = settings, client, running
        self._door, self._clock, self._ask = door, clock, ask
        self._actions = ACTIONS.get(settings.idle_action, ())
        self._idle_after = max(settings.idle_after_s, LEAST_QUIET_S)
        self._quiet_since = self._next_try = clock.seconds()
        self._backoff = FIRST_BACKOFF_S
        self._wakes = door.wakes
        self._reason = ""
        self.draining = False

    def step(self) -> None:
        """Look once; put the machine to sleep if it is idle.

        Raises:
            FencedError: a newer start of this flow server took over.
        """
        if not self._actions:
            return
        now = self._clock.seconds()
        if self.draining and (now < self._next_try or not self._try_drain(draining=False)):
            return
        if self._running.flow_runs() or self._door.wakes != self._wakes:
            self._wakes = self._door.wakes
            self._quiet_since = now
        if now - self._quiet_since < self._idle_after or now < self._next_try:
            return
        if self._must_stay_awake():
            self._next_try = now + ASK_S
            return
        self._sleep()

    def _sleep(self) -> None:
        """Take no more work, look again, sleep, and take work again after the wake."""
        if not self._try_drain(draining=True):
            return
        self._clock.wait(SETTLE_S)
        if self._clock.stopping:
            return
        if not self._must_stay_awake():
            self._ask_fly()
        if not self._clock.stopping:
            self._try_drain(draining=False)
        self._quiet_since = self._clock.seconds()

    def _ask_fly(self) -> None:
        """Request each action until Fly does not refuse one; wait until the machine is awake again."""
        for action in self._actions:
            if self._ask(action) is not FlyReply.REFUSED:
                self._backoff = FIRST_BACKOFF_S
                self._wait_for_wake()
                return
        self._next_try = self._clock.seconds() + self._backoff
        self._backoff = min(2 * self._backoff, LAST_BACKOFF_S)

    def _wait_for_wake(self) -> None:
        began, wakes = self._clock.seconds(), self._door.wakes
        while not self._clock.stopping:
            before, before_wall = self._clock.seconds(), self._clock.now()
            self._clock.wait(TICK_S)
            after, after_wall = self._clock.seconds(), self._clock.now()
            wall_s = (after_wall - before_wall).total_seconds()
            if max(after - before, wall_s) > TICK_S + JUMP_S:
                return
            waited = after - began
            if waited > ASLEEP_LIMIT_S or (waited > SURE_S and self._door.wakes != wakes):
                return

    def _must_stay_awake(self) -> bool:
        """Return whether something runs or is due; also if the server does not answer."""
        reason = (
            f"{count} flow runs are running" if (count := len(self._running.flow_runs())) else ""
        )
        try:
            reason = reason or reason_to_stay_awake(
                self._client.record(LIMIT_S), self._clock.now(), self._idle_after
            )
        except FencedError:
            raise
        except LaunchError as error:
            reason = f"the server did not say what is due: {error}"
        if reason != self._reason:
            log(f"stays awake: {reason}" if reason else "idle: nothing runs and nothing is due")
            self._reason = reason
        return bool(reason)

    def _try_drain(self, *, draining: bool) -> bool:
        """Tell the server whether to hand out work; return whether it knows."""
        self.draining = True
        try:
            self._client.drain(draining=draining, limit_s=LIMIT_S)
        except FencedError:
            raise
        except LaunchError as error:
            word = "stop handing" if draining else "hand"
            log(f"cannot ask the server to {word} out work: {error}")
            self._next_try = self._clock.seconds() + ASK_S
            return False
        self.draining = draining
        return True

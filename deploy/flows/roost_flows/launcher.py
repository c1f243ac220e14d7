"""Run a flow server from its start to its end."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path

from roost_flows.clock import Clock
from roost_flows.command import (
    ended_by_itself,
    exit_code,
    run_canary,
    start_command,
    terminate,
)
from roost_flows.due import REGISTRATION, hold_s
from roost_flows.errors import ForgottenError, LaunchError, RefusedError, UnreachableError
from roost_flows.idle import IdleWatch
from roost_flows.listener import Listener
from roost_flows.missing import MissingRuns
from roost_flows.processes import Processes
from roost_flows.schedules import read_paused, resume_paused
from roost_flows.server_client import ServerClient
from roost_flows.settings import Settings, command_environment, read_settings
from roost_flows.stop import stop_gracefully
from roost_flows.versions import check_versions, client_version
from roost_machine.exit_reason import write_exit_reason
from roost_machine.image_user import become, image_user
from roost_machine.log import log
from roost_machine.sleep_request import ask

ONLINE_LIMIT_S = 120.0
RETRY_S = 1.0
LOOK_S = 0.5
# How often it is remembered which deployments are paused, in seconds. It is also how soon a start
# that was replaced notices that and ends its flow runs.
REMEMBER_S = 10.0


def launch(environ: MutableMapping[str, str]) -> int:
    """Run until the machine stops or something fails; return the exit code."""
    clock = Clock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.ask_to_stop())
    try:
        if user := image_user():
            environ.update(become(user, environ))
        settings = read_settings(environ, secrets.token_hex(8))
        return Launcher(settings, environ, clock).run()
    except LaunchError as error:
        return fail(f"the flow server cannot run: {error}.", environ)


def fail(text: str, environ: MutableMapping[str, str], code: int = 1) -> int:
    """Write why it ends into the log and the machine's metadata; return the exit code."""
    print(f"roost: {text}", file=sys.stderr, flush=True)
    write_exit_reason(text, environ)
    return code


class Launcher:
    """One start of a flow server."""

    def __init__(self, settings: Settings, environ: MutableMapping[str, str], clock: Clock) -> None:
        home = str(Path(tempfile.gettempdir()) / "prefect")
        self._settings, self._environ, self._clock = settings, environ, clock
        self._client = ServerClient(settings)
        self._processes = Processes(settings.boot)
        self._command_environment = command_environment(settings, environ, home)
        self._paused: dict[str, bool] = {}
        self._missing = MissingRuns()
        self._remembered = 0.0

    def run(self) -> int:
        """Come online, run the canary if needed, and run the command to its end."""
        listener = Listener(self._settings.host, self._settings.port)
        listener.start()
        try:
            return self._run(listener)
        finally:
            self._processes.kill()
            listener.close()

    def _run(self, listener: Listener) -> int:
        if not self.come_online():
            return 0
        process = start_command(self._settings, self._command_environment)
        log(f"runs {json.dumps(self._settings.command[0])}, boot {self._settings.boot}")
        self._remembered = self._clock.seconds()
        idle = IdleWatch(
            self._settings,
            self._client,
            self._processes,
            listener,
            self._clock,
            partial(ask, environ=self._environ),
        )
        while not self._clock.stopping:
            if (code := process.poll()) is not None:
                return self._command_ended(code)
            idle.step()
            self._remember_paused()
            self._clock.wait(LOOK_S)
        self._stop(process)
        return 0

    def come_online(self) -> bool:
        """Announce this start and prove it; return whether the command is to be started."""
        canary = self._announce()
        if canary is None:
            return False
        if canary:
            run_canary(self._command_environment, self._settings.code.parent)
            self._client.canary_done()
            log(f"the canary flow of version {self._settings.version or 'none'} ran")
        self._hold()
        return not self._clock.stopping

    def _announce(self) -> bool | None:
        """Return whether the canary must run; None if a stop was asked for meanwhile.

        The versions are compared first: an earlier start must not be fenced by one that cannot run.
        """
        prefect = client_version()
        ends = self._clock.seconds() + ONLINE_LIMIT_S
        while not self._clock.stopping:
            try:
                check_versions(prefect, self._client.prefect_version())
                return self._client.online(prefect)
            except UnreachableError as error:
                if self._clock.seconds() >= ends:
                    raise
                log(f"waits for the server: {error}")
            self._clock.wait(RETRY_S)
        return None

    def _hold(self) -> None:
        """Wait while a start of the command would make the server forget a run that is due soon."""
        now = self._clock.now()
        ahead = (now + REGISTRATION).isoformat()
        try:
            record = self._client.record()
            served = [str(each["id"]) for each in record.get("deployments") or []]
            seconds = hold_s(self._client.scheduled(served, now.isoformat(), ahead), now)
        except (UnreachableError, RefusedError) as error:
            log(f"starts the command without knowing what is due: {error}")
            return
        if seconds:
            log(f"starts the command in {seconds:.1f} s, when the runs that are due soon are due")
            self._clock.wait(seconds)

    def _remember_paused(self) -> None:
        """Remember now and then what is paused, for a command that ends by itself.

        The same request tells the server which runs have no process here.
        """
        running = self._processes.flow_runs()
        self._missing.see(running)
        if self._clock.seconds() - self._remembered < REMEMBER_S:
            return
        try:
            self._paused = read_paused(self._client, self._paused, self._missing, running)
        except ForgottenError as error:
            log(f"announces itself again: {error}")
            self._announce_again()
        self._remembered = self._clock.seconds()

    def _announce_again(self) -> None:
        """Announce this start once more; a server that is away is asked again later."""
        try:
            self._client.online(client_version())
        except UnreachableError as error:
            log(f"waits for the server: {error}")

    def _command_ended(self, code: int) -> int:
        self._processes.kill()
        resume_paused(self._client, self._paused)
        text = ended_by_itself(self._settings, code)
        # Fly restarts the machine only after a failure, and nobody asked for this end.
        return fail(f"{text}.", self._environ, exit_code(code) or 1)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        stop_gracefully(
            self._client,
            self._processes,
            self._clock,
            self._settings.stop_limit_s,
            self._paused,
            partial(terminate, process),
        )

"""Run Redis from the machine's start to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path

from roost_machine.exit_reason import write_exit_reason
from roost_machine.image_user import become, hand_over, image_user
from roost_machine.log import log
from roost_redis.configuration import configuration
from roost_redis.endpoint import Endpoint
from roost_redis.errors import EndedError, NoAnswerError, RedisMachineError
from roost_redis.health import Health, ask, ask_info, judge
from roost_redis.passwords import Passwords, keep_passwords
from roost_redis.program import find_program, pass_on, start
from roost_redis.settings import PASSWORD, Settings, read_settings

AGAIN_S = 5.0
"""Between two attempts to have Redis forget a password."""


def bake(environ: MutableMapping[str, str]) -> int:
    """Check at build time that the image can run; return the exit code."""
    try:
        print(f"roost: Redis is {find_program(environ)}", flush=True)
    except RedisMachineError as error:
        print(f"roost: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def launch(environ: MutableMapping[str, str]) -> int:
    """Run until the machine stops or Redis ends; return the exit code."""
    try:
        settings = read_settings(environ)
        del environ[PASSWORD]  # Redis and what it starts have no use for it
        program = find_program(environ)
        if user := image_user():
            hand_over(settings.data, user.pw_uid, user.pw_gid)
            environ.update(become(user, environ))
        with tempfile.TemporaryDirectory(prefix="redis-") as folder:
            file = Path(folder) / "redis.conf"
            passwords = keep_passwords(settings.data, settings.password, time.time())
            accepted = passwords.accepted(time.time())
            file.write_text(configuration(settings, accepted), encoding="utf-8")
            if passwords.now != accepted[-1]:
                threading.Thread(target=end_before, args=(settings, passwords), daemon=True).start()
            _run(start(program, file, environ), settings)
    except RedisMachineError as error:
        text = f"Redis cannot run: {error}."
        print(f"roost: {text}", file=sys.stderr, flush=True)
        write_exit_reason(text, environ)
        return 1
    return 0


def _run(process: subprocess.Popen[str], settings: Settings) -> None:
    """Serve Redis's health until it ends.

    Raises:
        EndedError: it ended, and nobody asked for that.
        PortError: the port for health checks is taken.
    """
    stopping = []

    def stop(number: int, _: object) -> None:
        stopping.append(number)
        process.terminate()  # it writes its file, and ends

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        endpoint = Endpoint(settings.host, settings.port, lambda: look(settings))
        endpoint.start()
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        warning = pass_on(process.stdout)
        code = process.wait()
        endpoint.close()
    finally:
        process.kill()
        process.wait()
    if not stopping:
        words = f', it said: "{warning}"' if warning else ""
        raise EndedError(f"it ended with {code}{words}")


def end_before(settings: Settings, passwords: Passwords) -> None:
    """Wait until the time of the password of before is over, and have Redis accept only the other."""
    time.sleep(max(0.0, passwords.until - time.time()))
    command = ("ACL", "SETUSER", "default", "resetpass", f"#{passwords.now}")
    while True:
        try:
            ask(settings.address, settings.password, *command)
        except NoAnswerError:
            time.sleep(AGAIN_S)
        else:
            log("the password of before is not accepted any more")
            return


def look(settings: Settings) -> Health:
    """Return how Redis is now."""
    try:
        return judge(ask_info(settings.address, settings.password))
    except NoAnswerError as error:
        return Health(f"Redis: {error}", good=False)

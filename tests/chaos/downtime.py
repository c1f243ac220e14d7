"""Measure a real Prefect server's downtime during changes, by Roost and by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from helpers.plain_http import NO_TLS
from helpers.prefect_site import APP, LOGIN, NAME, PrefectSite
from helpers.prefect_versions import NEWEST, OLDER
from roost.environment.load import load_environment
from roost.plan.desired_state import desired_state
from roost.plan.image import image_reference, read_image_parts
from roost.plan.ownership import with_volume
from roost.prefect.gate_pages import GATE_HEADERS, OPEN_PATH

DEPLOY = Path(__file__).parents[2] / "deploy"
BEFORE, AFTER = OLDER, NEWEST
PAUSE_S = 0.02
PATIENCE_S = 30.0
ROLLED_BACK = 4
Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change of a running server.

    Args:
        name: the name for reports.
        before: the environment file that is live.
        after: the environment file to apply.
        code: the expected exit code.
    """

    name: str
    before: Json
    after: Json
    code: int = 0


@dataclass(frozen=True)
class Silence:
    """The longest time without a successful response in each run, in seconds."""

    change: Change
    ours: tuple[float, ...]
    by_hand: tuple[float, ...]

    @property
    def medians(self) -> tuple[float, float | None]:
        """The medians with Roost and by hand."""
        return median(self.ours), median(self.by_hand) if self.by_hand else None


NEW: Json = {"prefect": {"version": AFTER}, "machine": {"memory_mb": 512}}
CHANGES = (
    Change(
        "settings",
        NEW,
        {**NEW, "prefect": {"version": AFTER, "settings": {"PREFECT_LOGGING_LEVEL": "WARNING"}}},
    ),
    Change("memory", NEW, {**NEW, "machine": {"memory_mb": 1024}}),
    Change(f"Prefect {BEFORE} to {AFTER}", {**NEW, "prefect": {"version": BEFORE}}, NEW),
    Change(
        "a bad setting, rolled back",
        NEW,
        {
            **NEW,
            "prefect": {
                "version": AFTER,
                "settings": {"PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL": "not-a-period"},
            },
        },
        ROLLED_BACK,
    ),
)


def measure(change: Change, folder: Path, cache: Path, runs: int) -> Silence:
    """Change one server by Roost and one by hand, alternately."""
    ours, by_hand = [], []
    for run in range(runs):
        ours.append(watched(change, folder / f"ours-{run}", cache, apply))
        if not change.code:
            by_hand.append(watched(change, folder / f"hand-{run}", cache, change_by_hand))
    return Silence(change, tuple(ours), tuple(by_hand))


def watched(change: Change, folder: Path, cache: Path, act: Any) -> float:
    """Start a server, change it, and return the longest downtime in seconds."""
    site = PrefectSite(folder, cache)
    try:
        site.start(**change.before)
        site.roost.run("apply", NAME, "--local")
        site.roost.write(NAME, {"scaling": {"autostop": "off"}}, **change.after)
        with watching(site) as silences:
            act(site, change)
        return max(silences)
    finally:
        site.daemon.clean()


@contextmanager
def watching(site: PrefectSite) -> Iterator[list[float]]:
    """Poll the server's health; yield the times between successful responses.

    The server answers when this ends, because the change waits for that.
    """
    silences = [0.0]
    over, url = threading.Event(), site.url()

    def watch() -> None:
        last = time.monotonic()
        with httpx.Client(trust_env=False, timeout=PATIENCE_S, verify=NO_TLS) as http:
            gone = False
            while not gone:
                gone = over.wait(PAUSE_S)  # and then one last look
                if is_healthy(http, url):
                    now = time.monotonic()
                    silences.append(now - last)
                    last = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield silences
    finally:
        over.set()
        thread.join()


def is_healthy(http: httpx.Client, url: str) -> bool:
    """Return whether a server's health check succeeds."""
    try:
        return http.get(f"{url}/api/health").is_success
    except httpx.HTTPError:
        return False


def apply(site: PrefectSite, change: Change) -> None:
    """Change the server with `roost apply`."""
    site.roost.run("apply", NAME, "--local", expect=change.code)


def change_by_hand(site: PrefectSite, change: Change) -> None:
    """Change it by hand: stop it, change it, start it, wait until it answers, and open it."""
    del change  # it stands in the file
    file = load_environment(NAME, site.roost.environments)
    version = file.environment.prefect.version
    image = image_reference(file.environment.app, version, read_image_parts(DEPLOY, version))
    machine = site.daemon.machine(APP, site.machine)
    volume = machine["config"]["mounts"][0]["volume"]
    config = with_volume(desired_state(file, image).machines[0].config, volume)
    site.rest("stop", "stopped")
    path = f"{APP}/machines/{machine['id']}"
    site.daemon.call("POST", path, {"config": config, "skip_launch": True})
    # Fly refuses a start while it replaces the machine.
    while site.daemon.machine(APP, machine["id"])["state"] == "replacing":
        time.sleep(PAUSE_S)
    site.daemon.call("POST", f"{path}/start")
    wait_healthy(site.url())
    user, _, password = LOGIN.partition(":")
    # After a migration the server waits for this request; otherwise it has no effect.
    url = f"{site.url()}{OPEN_PATH}"
    httpx.post(url, auth=(user, password), headers=GATE_HEADERS, trust_env=False, verify=NO_TLS)


def wait_healthy(url: str) -> None:
    """Wait until a server's health check succeeds.

    Raises:
        TimeoutError: it does not.
    """
    ends = time.monotonic() + 2 * PATIENCE_S
    with httpx.Client(
        headers=GATE_HEADERS, trust_env=False, timeout=PATIENCE_S, verify=NO_TLS
    ) as http:
        while time.monotonic() < ends:
            if is_healthy(http, url):
                return
            time.sleep(PAUSE_S)
    raise TimeoutError(f"{url} does not answer")

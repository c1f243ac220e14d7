"""Where the last apply left off: what nobody proved yet, and what failed and is to be put back.

Pure. An apply may die between any two calls; the records on the machines tell the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.fly.models import Machine
from roost.plan.desired import Desired
from roost.plan.live import Live
from roost.plan.releases import (
    Release,
    Verdict,
    current,
    desired_of,
    draft,
    failed_like,
    last_good,
    releases_on,
)
from roost.plan.steps import (
    CreateMachine,
    Outcome,
    ProveRelease,
    Refusal,
    Step,
    UpdateMachine,
)


@dataclass(frozen=True)
class Recovery:
    """What a plan has to begin with.

    Args:
        desired: what to plan for: the file's wish, or the release that is put back.
        releases: all that the machines remember.
        failed: the release that this plan goes back from, if it does.
        back_to: the number of the release it goes back to, 0 for none.
        outcomes: what people are told of it.
    """

    desired: Desired
    releases: tuple[Release, ...] = ()
    failed: Release | None = None
    back_to: int = 0
    outcomes: tuple[Outcome, ...] = ()

    @property
    def current(self) -> Release | None:
        """The release that is live."""
        return current(self.releases)


def recover(desired: Desired, live: Live, ours: Mapping[str, Machine]) -> Recovery:
    """Judge the file's wish by what became of the releases before."""
    releases = releases_on(ours.values())
    now, good = current(releases), last_good(releases)
    failed = _failed(desired, live, releases)
    if now is None or failed is None:
        return Recovery(desired, releases)
    if now.verdict is Verdict.PENDING and now.back_to:
        return _go_back(desired, releases, failed, now)
    if now.verdict is Verdict.FAILED:
        return _go_back(desired, releases, failed, good) if good else Recovery(desired, releases)
    return Recovery(desired, releases, outcomes=(_refusal(desired, failed),))


def unproved(recovery: Recovery, steps: list[Step], ours: Mapping[str, Machine]) -> Iterator[Step]:
    """Give the step that proves what is live, where nothing else of the plan does."""
    now = recovery.current
    if now is None or not ours or now.verdict in {Verdict.GOOD, Verdict.CLEARED}:
        return
    if any(isinstance(step, CreateMachine | UpdateMachine) for step in steps):
        return
    slot = min(ours)
    yield ProveRelease(
        key=f"release/{now.number}",
        summary=f"prove release {now.number}, which no apply has seen through",
        machine=ours[slot].id,
    )


def _failed(desired: Desired, live: Live, releases: tuple[Release, ...]) -> Release | None:
    """Find the failed release that the file asks for again."""
    wanted = draft(desired, live, releases)
    if wanted is None or set(desired.secrets) - {secret.name for secret in live.secrets}:
        return None  # with the secrets that are still to be set it is another one
    return failed_like(releases, wanted.identity)


def _go_back(
    desired: Desired, releases: tuple[Release, ...], failed: Release, to: Release
) -> Recovery:
    number = to.back_to or to.number
    told = f"Release {failed.number}, which the file asks for, failed: {failed.why} Release {number} is put back."
    return Recovery(desired_of(to, desired), releases, failed, number, (told,))


def _refusal(desired: Desired, failed: Release) -> Refusal:
    why = failed.why.rstrip(".")
    return Refusal(
        f"release/{failed.number}",
        f"this very configuration failed as release {failed.number}: {why}",
        (
            "Change the file, or allow it again: "
            f"`roost releases {desired.environment} --clear {failed.number}`."
        ),
    )

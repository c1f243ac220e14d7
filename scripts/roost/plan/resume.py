"""Where the last apply left off: what nobody proved yet, and what failed and is to be put back.

Pure. An apply may die between any two calls; the records on the machines tell the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.fly.models import Machine
from roost.plan.desired import Desired
from roost.plan.ignored import adopt
from roost.plan.live import Live
from roost.plan.ownership import our_machines
from roost.plan.releases import (
    Release,
    Verdict,
    current,
    desired_of,
    draft,
    failed_like,
    releases_on,
    rollback_target,
)
from roost.plan.secrets import changes_secrets
from roost.plan.steps import (
    CreateMachine,
    PlanItem,
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
        items: what people are told of it.
    """

    desired: Desired
    releases: tuple[Release, ...] = ()
    failed: Release | None = None
    back_to: int = 0
    items: tuple[PlanItem, ...] = ()

    @property
    def current(self) -> Release | None:
        """The release that is live."""
        return current(self.releases)


def recover(desired: Desired, live: Live, ours: Mapping[str, Machine]) -> Recovery:
    """Judge the file's wish by what became of the releases before."""
    releases = releases_on(ours.values())
    now, good = current(releases), rollback_target(releases)
    wanted = draft(desired, live, releases)
    if now is None or wanted is None:
        return Recovery(desired, releases)
    failed = _failed(desired, live, releases, wanted)
    if failed is None:
        return Recovery(desired, releases, items=tuple(_undoes(releases, wanted)))
    told = f"Release {failed.number}, which the file asks for, failed: {failed.why} "
    if now.verdict is Verdict.PENDING and now.back_to:
        return roll_back_to(now, desired, live, failed, told)
    if now.verdict is not Verdict.FAILED:
        return Recovery(desired, releases, items=(_refusal(desired, failed),))
    # What was good once and failed when it was put back is proved again, as the file asks for it.
    if good is None or good.setup == failed.setup:
        return Recovery(desired, releases)
    return roll_back_to(good, desired, live, failed, told)


def roll_back_to(
    to: Release, desired: Desired, live: Live, failed: Release, told: str = ""
) -> Recovery:
    """Return the way back from a release that failed to one that was good."""
    asked = adopt(desired_of(to, desired), live)
    releases = releases_on(our_machines(desired, live).values())
    items = (f"{told}Release {to.origin} is put back.", *(left.sentence for left in asked.left))
    return Recovery(asked.desired, releases, failed, to.origin, items)


def unproved(recovery: Recovery, steps: list[Step], ours: Mapping[str, Machine]) -> Iterator[Step]:
    """Return the step that proves what is live, where nothing else of the plan does."""
    now = recovery.current
    if now is None or not ours or now.was_proved:
        return
    if any(isinstance(step, CreateMachine | UpdateMachine) for step in steps):
        return
    machine = ours[min(ours)]
    yield ProveRelease(
        key=f"release/{now.number}",
        summary=_to_prove(now),
        machine=machine.id,
        current_version=machine.instance_id,
    )


def _to_prove(now: Release) -> str:
    if now.verdict is Verdict.FAILED:
        return f"prove release {now.number} again, which failed: {now.why.rstrip('.')}"
    return f"prove release {now.number}, which is not proved"


def _failed(
    desired: Desired, live: Live, releases: tuple[Release, ...], wanted: Release
) -> Release | None:
    """Find the failed release that the file asks for again."""
    if changes_secrets(desired, live):
        return None  # with the secrets that are still to be set it is another one
    return failed_like(releases, wanted.identity)


def _undoes(releases: tuple[Release, ...], wanted: Release) -> Iterator[str]:
    """Report that going forward undoes what somebody put back by hand."""
    now = rolled_back_by_hand(releases)
    if now is None or wanted.setup == now.setup:
        return
    left = [r.number for r in releases if r.setup == wanted.setup and r.number < now.number]
    asked = f"release {left[-1]} again" if left else "something else"
    yield (
        f"Release {now.back_to} was put back by hand, as release {now.number}; the file asks for "
        f"{asked}, and an apply goes there. To stay, merge a revert of the file first."
    )


def rolled_back_by_hand(releases: tuple[Release, ...]) -> Release | None:
    """Return the newest release if a person put it back: we go back only from what failed."""
    if not releases or not releases[-1].back_to:
        return None
    now = releases[-1]
    left = [r for r in releases if r.back_to != now.back_to]  # it may have taken several applies
    by_hand = bool(left) and (left[-1].was_proved or left[-1].verdict is Verdict.PENDING)
    return now if by_hand else None


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

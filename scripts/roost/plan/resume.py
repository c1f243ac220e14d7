"""Continue after the last apply: prove what has no verdict, roll back what failed. Pure.

An apply can be killed between any two calls. The next one learns from the records on the machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.adoption import found_release
from roost.plan.database_move import with_kept_volume
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
    """The target of a plan.

    Args:
        desired: the state to plan for: what the file asks for, or the release to roll back to.
        releases: all release records on the machines.
        failed: the failed release, if the plan is a rollback.
        back_to: number of the release to roll back to; 0 for none.
        items: warnings and refusals about it.
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
    """Choose the target of a plan from the file and the verdicts on earlier releases."""
    releases = releases_on(ours.values()) or found_release(desired, live, ours)
    now, good = current(releases), rollback_target(releases)
    wanted = draft(desired, live, releases)
    if now is None or wanted is None:
        return Recovery(desired, releases)
    failed = _failed(desired, live, releases, wanted)
    if failed is None:
        return Recovery(desired, releases, items=tuple(_undoes(releases, wanted)))
    message = f"Release {failed.number}, which the file asks for, failed: {failed.why} "
    if now.verdict is Verdict.PENDING and now.back_to:
        return roll_back_to(now, desired, live, failed, message)
    if now.verdict is not Verdict.FAILED:
        return Recovery(desired, releases, items=(_refusal(desired, failed),))
    # A release that was good once and failed in a rollback is proved again, as the file asks for it.
    if good is None or good.setup == failed.setup:
        return Recovery(desired, releases)
    return roll_back_to(good, desired, live, failed, message)


def roll_back_to(
    to: Release, desired: Desired, live: Live, failed: Release, message: str = ""
) -> Recovery:
    """Return the rollback from a failed release to an earlier one."""
    asked = adopt(with_kept_volume(desired_of(to, desired), live), live)
    releases = releases_on(our_machines(desired, live).values())
    items = (
        f"{message}The plan rolls back to release {to.origin}.",
        *(left.sentence for left in asked.left),
    )
    return Recovery(asked.desired, releases, failed, to.origin, items)


def unproved(recovery: Recovery, steps: list[Step], ours: Mapping[str, Machine]) -> Iterator[Step]:
    """Yield the step that proves the live release, if no other step leads to a proof."""
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
    return f"prove release {now.number}, which has no verdict yet"


def _failed(
    desired: Desired, live: Live, releases: tuple[Release, ...], wanted: Release
) -> Release | None:
    """Return the failed release that the file asks for again."""
    if changes_secrets(desired, live):
        return None  # with new secrets it is another release
    return failed_like(releases, wanted.identity)


def _undoes(releases: tuple[Release, ...], wanted: Release) -> Iterator[str]:
    """Warn that an apply undoes a rollback by hand."""
    now = rolled_back_by_hand(releases)
    if now is None or wanted.setup == now.setup:
        return
    left = [r.number for r in releases if r.setup == wanted.setup and r.number < now.number]
    asked = f"release {left[-1]} again" if left else "something else"
    yield (
        f"Somebody rolled back to release {now.back_to}, as release {now.number}; the file asks for "
        f"{asked}, which an apply restores. To stay, merge a revert of the file first."
    )


def rolled_back_by_hand(releases: tuple[Release, ...]) -> Release | None:
    """Return the newest release if it is a person's rollback; Roost only rolls back a failure."""
    if not releases or not releases[-1].back_to:
        return None
    now = releases[-1]
    left = [
        r for r in releases if r.back_to != now.back_to
    ]  # one rollback may take several applies
    by_hand = bool(left) and (left[-1].was_proved or left[-1].verdict is Verdict.PENDING)
    return now if by_hand else None


def _refusal(desired: Desired, failed: Release) -> Refusal:
    why = failed.why.rstrip(".")
    return Refusal(
        f"release/{failed.number}",
        f"the same configuration failed as release {failed.number}: {why}",
        (
            "Change the file, or allow it again: "
            f"`{Command('releases', desired.environment, '--clear', failed.number)}`."
        ),
    )

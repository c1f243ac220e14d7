"""Plan and apply against a fake Fly, with the real client between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import anyio
import httpx
import stamina

from helpers import virtual_time
from helpers.environments import environment_file
from helpers.fake_fly import FakeFly
from helpers.fly_trouble import KilledError, TroubledFly
from roost.apply.executor import carry_out
from roost.apply.trial import remove_trials
from roost.apply.work import Work, lease_holder
from roost.errors import RoostError
from roost.fly.client import FlyClient
from roost.fly.models import SecretInfo
from roost.plan.database_move import with_kept_volume
from roost.plan.desired import Desired
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.live import read_live
from roost.plan.ownership import find_volume, our_machines
from roost.plan.secret_fingerprints import SALT_BYTES, Effort, Mark, fingerprint
from roost.plan.secrets import check_values
from roost.plan.steps import Plan
from roost.secret_text import SecretText

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
VALUE = "admin:the-value-of-the-test"


class Between(Protocol):
    """What can intercept the calls between the client and Fly."""

    scope: anyio.CancelScope | None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""


class EveryName(Mapping[str, SecretText]):
    """A mapping with a value for every name."""

    def __getitem__(self, _: str) -> SecretText:
        return SecretText(VALUE)

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def quick_mark(secret: SecretInfo, value: SecretText) -> Mark:
    """Return a fingerprint of a value quickly, and the same one each time."""
    return Mark(secret.digest, fingerprint(value, b"0" * SALT_BYTES, Effort(ln=1)))


@dataclass
class Run:
    """The result of one plan and apply."""

    plan: Plan | None = None
    touched: Mapping[str, str] = field(default_factory=dict)
    """Machines that were touched, each with its version then."""
    notices: list[str] = field(default_factory=list)
    error: RoostError | None = None

    @property
    def kinds(self) -> list[str]:
        """The kinds of the plan's steps."""
        assert self.plan is not None
        return [step.kind for step in self.plan.steps]


def desired_of(*parts: Any, image: str = IMAGE, **fields: Any) -> Desired:
    """Return what an environment file of these parts asks for."""
    return desired_state(environment_file(*parts, **fields), image)


def applied_fly(desired: Desired, state: str = "started") -> FakeFly:
    """Return a Fly with an applied environment, with its machines in a state."""
    fly = FakeFly()
    assert plan_and_apply(fly, desired).error is None
    fly.settle(state)
    return fly


def plan_and_apply(
    fly: FakeFly,
    desired: Desired,
    trouble: TroubledFly | None = None,
    between: Callable[[], None] = lambda: None,
    values: Mapping[str, SecretText] | None = None,
) -> Run:
    """Plan and apply; a refusal by Fly or Roost is in the run's `error`.

    Args:
        fly: the Fly to plan and apply on.
        desired: the desired state.
        trouble: intercepts the calls between the client and `fly`.
        between: called after the plan and before the apply.
        values: the secret values; by default there is one for every name.
    """
    run = Run()
    fly.asked.clear()
    with stamina.set_testing(True, attempts=3, cap=True):
        try:
            here = EveryName() if values is None else values
            virtual_time.run(plan_and_carry_out, run, fly, desired, here, trouble, between)
        except RoostError as error:
            run.error = error
        except BaseExceptionGroup as group:
            only_kills(group)
        except KilledError:  # nobody is left to be told
            pass
    return run


def only_kills(group: BaseExceptionGroup[BaseException]) -> None:
    """Ignore simulated kills; raise any other error of the group."""
    _, others = group.split(KilledError)
    if others:
        raise others


async def plan_and_carry_out(
    run: Run,
    fly: FakeFly,
    desired: Desired,
    values: Mapping[str, SecretText],
    trouble: Between | None,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Plan and apply with calls intercepted; errors are raised."""
    transport = httpx.MockTransport(trouble.answer if trouble else fly)
    with anyio.CancelScope() as scope:
        if trouble:
            trouble.scope = scope
        async with FlyClient("http://fly.test", SecretText("t"), transport=transport) as client:
            live = await read_live(client, desired.app)
            desired = with_kept_volume(desired, live)
            ours = our_machines(desired, live)
            checked = check_values(desired, live, ours, values)
            run.plan = diff(replace(desired, values=checked), live)
            between()
            volume = desired.volume and find_volume(desired.volume, live, ours)
            notice = run.notices.append
            async with lease_holder(client, desired.app, notice, "roost apply") as leases:
                work = Work(client, leases, values, notice, quick_mark)
                await remove_trials(client, desired.app, live)
                done = await carry_out(run.plan, work, volume.id if volume else "")
                run.touched = done.machines

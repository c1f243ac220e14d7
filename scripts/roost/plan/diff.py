"""Make a plan: the ordered steps from live to desired, and what is refused.

Pure. The order is safe to stop at any point: app, addresses, volume, secrets, machines, and last what
is no longer wanted. An unchanged environment has no steps, whether its machines sleep or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from roost.fly.models import Machine
from roost.plan.adoption import adoption_notes
from roost.plan.database_move import move_items
from roost.plan.desired import OVERRIDE_KEY, VERSION_KEY, Desired
from roost.plan.destroy import cordoned_notes
from roost.plan.disclosures import disclosures
from roost.plan.live import Live
from roost.plan.machines import compare_machines, surplus_machines
from roost.plan.objects_record import base_records
from roost.plan.ownership import our_machines
from roost.plan.prefect_objects import compare_objects, unchecked_secrets
from roost.plan.replicas import is_replicated
from roost.plan.restore import refusal, restoring
from roost.plan.resume import Recovery, recover, unproved
from roost.plan.retention import deletion_notes
from roost.plan.secrets import (
    FIELD,
    SecretState,
    State,
    behind,
    fitting_marks,
    secret_states,
)
from roost.plan.steps import (
    AssignIp,
    Change,
    CreateApp,
    Json,
    Plan,
    PlanItem,
    Refusal,
    ReleaseIp,
    Risk,
    SetSecrets,
    Step,
    UnsetSecrets,
)
from roost.plan.trial import tried_secret
from roost.plan.volumes import compare_volumes

PUBLIC_IPS = frozenset({"v4", "shared_v4", "v6"})
_VERBS = {SetSecrets.kind: "set", UnsetSecrets.kind: "remove"}


def diff(desired: Desired, live: Live) -> Plan:
    """Return the plan from live to desired."""
    return plan_from(recover(desired, live, our_machines(desired, live)), live)


def plan_from(recovery: Recovery, live: Live) -> Plan:
    """Return the plan to the target of a recovery: what the file asks for, or an earlier release."""
    desired = recovery.desired
    ours = our_machines(desired, live)
    states = secret_states(desired, live, ours)
    if state := restoring(desired, live):
        # Until the restore ends, it is open which of the two machines is the server's.
        return Plan(
            desired.environment, desired.app, (), (refusal(desired, state),), (), base_state(live)
        )
    secrets = tuple(_secrets(desired, states, back=recovery.back_to > 0))
    found: list[PlanItem] = [
        *recovery.items,
        *_app(desired, live),
        *_ips(desired, live),
        *compare_volumes(desired, live, ours),
        *secrets,
        *move_items(desired, ours, back=recovery.back_to > 0),
        *compare_machines(desired, ours, _seen_after_boot(desired, live, ours, secrets)),
        *cordoned_notes(desired.environment, ours.values()),
        *surplus_machines(desired, live, ours, back=recovery.back_to > 0),
        *_surplus_ips(desired, live),
    ]
    if not recovery.back_to:  # a rollback leaves Prefect's objects as they are
        found += list(compare_objects(desired, ours, found))
    steps = [item for item in found if not isinstance(item, Refusal | str)]
    return Plan(
        environment=desired.environment,
        app=desired.app,
        steps=(*steps, *unproved(recovery, steps, ours)),
        refusals=tuple(item for item in found if isinstance(item, Refusal)),
        warnings=(
            *disclosures(steps, desired.app),
            *_no_way_back(desired, steps),
            *adoption_notes(desired, ours),
            *deletion_notes(steps),
            *(item for item in found if isinstance(item, str)),
        ),
        base=base_state(live),
        # One name may be a secret of the app and of a block.
        unchecked=tuple(
            dict.fromkeys(
                (
                    *(s.name for s in states if s.state is State.UNCHECKED),
                    *unchecked_secrets(desired, ours),
                )
            )
        ),
        sources={**desired.object_sources, **desired.sources},
        marks=fitting_marks(desired, live, ours),
    )


def _no_way_back(desired: Desired, steps: Iterable[Step]) -> Iterator[str]:
    """Warn that Roost cannot undo an upgrade on Postgres: there is no volume to take a snapshot of."""
    if desired.volume is None and any(step.risk is Risk.MIGRATION for step in steps):
        version = desired.machines[0].config["metadata"][VERSION_KEY]
        yield (
            f"Prefect {version} migrates the Postgres database, and an older one cannot read it "
            "afterwards. Roost takes no snapshot of a Postgres database and cannot roll this back. "
            "Make a backup of it first."
        )
        if is_replicated(desired.machines[0].config):
            yield (
                "Until they are updated too, machines with the older Prefect serve from the migrated "
                "database, which Prefect does not promise. Upgrade when little runs."
            )


def base_state(live: Live) -> Json:
    """Return the part of the live state that the steps depend on; sleep is not part of it."""
    overrides = {
        m.id: m.metadata[OVERRIDE_KEY] for m in live.machines if OVERRIDE_KEY in m.metadata
    }
    objects = base_records(live.machines)
    return {
        **({"overrides": overrides} if overrides else {}),
        **({"objects": objects} if objects else {}),
        "app": live.app is not None,
        "ips": sorted(ip.kind for ip in live.ips),
        "volumes": sorted([volume.id, volume.size_gb] for volume in live.volumes),
        "secrets": sorted([secret.name, secret.digest] for secret in live.secrets),
        "machines": sorted([machine.id, machine.instance_id] for machine in live.machines),
    }


def _app(desired: Desired, live: Live) -> Iterator[PlanItem]:
    key = f"app/{desired.app}"
    if live.app is None:
        yield CreateApp(
            key=key,
            summary=f"create the app {desired.app} in {desired.organization}",
            app=desired.app,
            organization=desired.organization,
        )
        return
    owner = live.app.organization.slug
    if owner and owner != desired.organization:
        yield Refusal(
            key,
            f"the app belongs to the organization {owner}, not {desired.organization}",
            "Correct `organization`, or move the app: `fly apps move`.",
        )


def _ips(desired: Desired, live: Live) -> Iterator[PlanItem]:
    have = {ip.kind for ip in live.ips}
    for ip_type in desired.ip_types:
        if ip_type not in have and not (ip_type == "shared_v4" and "v4" in have):
            yield AssignIp(
                key=f"ip/{ip_type}", summary=f"assign a {ip_type} address", ip_type=ip_type
            )


def _surplus_ips(desired: Desired, live: Live) -> Iterator[PlanItem]:
    """Yield the release of public addresses of a private server; other addresses are left alone."""
    if PUBLIC_IPS & set(desired.ip_types):
        return
    for ip in sorted(live.ips, key=lambda ip: ip.ip):
        if ip.kind in PUBLIC_IPS:
            yield ReleaseIp(
                key=f"ip/{ip.ip}",
                summary=f"release the public address {ip.ip}",
                risk=Risk.DOWNTIME,
                ip=ip.ip,
            )


def _secrets(
    desired: Desired, states: tuple[SecretState, ...], *, back: bool
) -> Iterator[SetSecrets | UnsetSecrets | str]:
    # Without a machine, nothing can record that a secret of unknown value was set.
    wanted = [s for s in states if s.state.is_set]
    wanted = [s for s in wanted if desired.machines or s.state is not State.UNKNOWN]
    if back:  # a rollback may have no values, and leaves the secrets that exist as they are
        wanted = [s for s in wanted if s.state is State.MISSING]
    extra = tuple(s.name for s in states if s.state is State.EXTRA)
    if wanted:
        names = tuple(s.name for s in wanted)
        reasons = ", ".join(s.reason(desired.sources[s.name]) for s in wanted)
        tried = "" if back else _tried(desired, names)
        first = (
            f", after its database address {tried} was tested on a temporary machine"
            if tried
            else ""
        )
        yield SetSecrets(
            key="secrets/set",
            summary=f"set the secrets {reasons}{first}",
            names=names,
            sources={s.name: desired.sources[s.name] for s in wanted},
            tried=tried,
        )
    if extra and desired.prune:
        yield UnsetSecrets(
            key="secrets/unset",
            summary=f"remove the secrets {', '.join(extra)}",
            risk=Risk.RESTART,
            names=extra,
        )
    elif extra:
        yield f"The app has secrets that the file does not list: {', '.join(extra)}."


def _tried(desired: Desired, names: Iterable[str]) -> str:
    """Return the secret whose database address is tested first; empty for none."""
    return tried_secret(desired.machines[0].config, names) if desired.machines else ""


def _seen_after_boot(
    desired: Desired,
    live: Live,
    ours: Mapping[str, Machine],
    secrets: tuple[SetSecrets | UnsetSecrets | str, ...],
) -> dict[str, tuple[Change, ...]]:
    """Return the changes of secrets by slot: a machine sees new secrets only after a restart."""
    changes = tuple(
        Change(FIELD, None, f"{_VERBS[item.kind]} the secrets {', '.join(item.names)}")
        for item in secrets
        if not isinstance(item, str)
    )
    older = (Change(FIELD, "of an earlier apply", "as Fly has them"),)
    return {
        slot: changes or (older if behind(desired, live, machine) else ())
        for slot, machine in ours.items()
    }

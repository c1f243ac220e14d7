"""`roost import`: write the environment file of an app that exists, without changing anything on Fly."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from roost.adoption.choose import Chosen, choose
from roost.adoption.imported import Imported, image_of, imported, version_of
from roost.adoption.written import written
from roost.commands.init import write_new
from roost.environment.files import files_by_name
from roost.environment.load import EnvironmentFile, load_alone, load_environment, load_files
from roost.environment.model import AUTH_SECRET
from roost.environment.names import name_fault
from roost.environment.prefect_settings import settings_of, version_fault
from roost.environment.units import units
from roost.errors import ExitCode, NotImportableError, UsageError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.planning import make_plan
from roost.plan.adoption import adopted_changes
from roost.plan.diff import PUBLIC_IPS
from roost.plan.live import Live, read_live
from roost.plan.steps import Plan
from roost.prefect.transport import basic
from roost.secret_text import SecretText

AWAKE = "started"
ASK_S = 10.0


async def import_app(
    context: Context, app: str, *, name: str, version: str, local: bool
) -> ExitCode:
    """Write the environment file of an app that was made without Roost.

    Raises:
        UsageError: the name cannot be used, or a file for the name or the app exists.
        NotImportableError: the app has something that no file can say; nothing was written.
        FlyError: Fly refused to tell.
    """
    name = name or app
    _check_free(context, app, name)
    async with connect(context, local=local) as target:
        live = await read_live(target.fly, app)
        if live.app is None:
            raise NotImportableError(
                f"Fly knows no app {app}, or the token may not see it.",
                where=app,
                advice="Check the name (`fly apps list`), and use a token of its organization.",
            )
        chosen = choose(live)
        version = version or version_of(chosen) or await _ask_version(context, target, live, chosen)
        found = imported(name, live, chosen, version, settings_of(context.deploy, version))
        file = _write(context, found)
        _report(context, found, live, chosen)
        if message := _no_lock(context, found):
            context.out.print(
                f"\nBefore it can be planned: {message}.", markup=False, soft_wrap=True
            )
        else:
            planned = await make_plan(context, file, target)
            _report_plan(context, found, planned.plan)
    _report_next(context, found)
    return ExitCode.DONE


def _check_free(context: Context, app: str, name: str) -> None:
    """Check that neither the name nor the app has an environment file."""
    if fault := name_fault(name):
        raise UsageError(
            f"{fault[0].upper()}{fault[1:]}.", where=name, advice="Name it with --name."
        )
    existing = files_by_name(context.environments).get(name)
    if existing is not None:
        raise UsageError(
            "The file exists already and is never overwritten.",
            where=str(existing),
            advice="Choose another name with --name.",
        )
    loaded = load_files([context.environments]) if context.environments.is_dir() else None
    for file in loaded.files if loaded else ():
        if any(unit.environment.app == app for unit in units(file)):
            raise UsageError(
                f"The app {app} has an environment file already.",
                where=str(file.path),
                advice=f"See what it would change: {Command('plan', file.name)}",
            )


async def _ask_version(context: Context, target: Target, live: Live, chosen: Chosen) -> str:
    """Ask a server that is awake which Prefect it runs; empty if it sleeps, or does not say.

    A request would wake one that sleeps, so none is sent to it.
    """
    assert live.app is not None  # noqa: S101 - its machine was chosen
    public = any(ip.kind in PUBLIC_IPS for ip in live.ips)
    if chosen.machine.state != AWAKE or not (public or target.local):
        return ""
    login = context.environ.get(AUTH_SECRET)
    headers = basic(SecretText(login)) if login else {}
    url = await target.app_url(live.app.name, public=public)
    try:
        async with context.clients.prefect(url, ASK_S) as http:
            answer = await http.get("/api/admin/version", headers=headers)
            found = answer.json() if answer.is_success else ""
    except (httpx.HTTPError, ValueError):
        return ""
    return found if isinstance(found, str) else ""


def _no_lock(context: Context, found: Imported) -> str:
    """Return why Roost's own image cannot be built yet; empty where it can, or is not used."""
    prefect = found.environment.prefect
    return "" if prefect.image else version_fault(prefect.version, context.deploy)


def _write(context: Context, found: Imported) -> EnvironmentFile:
    """Write the file, checked like any other; without its lock it is checked by itself."""
    path = context.environments / f"{found.name}.yaml"
    load = load_alone if _no_lock(context, found) else load_environment
    return write_new(path, written(found), found.name, load)


def _report(context: Context, found: Imported, live: Live, chosen: Chosen) -> None:
    machine = chosen.machine
    volume = f", the volume {machine.mounted_volume}" if machine.mounted_volume else ""
    path = context.environments / f"{found.name}.yaml"
    _say(
        context,
        f"Wrote {path}\n"
        f"Read from Fly: the app {found.environment.app} of {found.environment.organization}, the machine "
        f"{machine.id} ({machine.name}, {machine.state}) in {machine.region}{volume}, {image_of(chosen)} "
        f"with Prefect {found.environment.prefect.version}, {len(live.secrets)} secrets by name, "
        f"{len(live.ips)} addresses. Nothing was changed there.",
    )
    _list(context, "Cannot be kept:", found.findings.losses)
    _list(context, "Stays as it is, outside of the file:", found.findings.kept)
    _list(context, "Guessed, so check it:", [text for _, text in found.findings.guesses])


def _report_plan(context: Context, found: Imported, plan: Plan) -> None:
    """Print what the first apply would do, so that nothing in the plan is a surprise."""
    changes = adopted_changes(plan.steps, found.machine)
    fields = [f"{name}: {why or 'as the file says'}" for name, why in changes]
    _list(context, "The first apply changes these fields of the machine:", fields)
    rest = [s.summary for s in plan.steps if getattr(s, "machine", "") != found.machine]
    _list(context, "It also does this:", rest)
    _list(
        context,
        "It is refused until this is solved:",
        [f"{r.what}. {r.advice}" for r in plan.refusals],
    )


def _report_next(context: Context, found: Imported) -> None:
    _say(
        context,
        "\nNext: read the file and commit it on a branch; see the whole plan: "
        f"{Command('plan', found.name)}; then open a pull request, or: {Command('apply', found.name)}\n"
        "Secrets that are set stay as they are: a value is needed only for what the plan sets, and the "
        "login for the gate.",
    )


def _list(context: Context, title: str, texts: Iterable[str]) -> None:
    texts = list(dict.fromkeys(texts))
    if texts:
        _say(context, "\n".join(["", title, *(f"- {text}" for text in texts)]))


def _say(context: Context, text: str) -> None:
    context.out.print(text, markup=False, highlight=False, soft_wrap=True)

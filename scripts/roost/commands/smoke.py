"""`roost smoke`: run the gate's checks against a URL or an environment."""

from __future__ import annotations

import json
from collections.abc import Sequence

from roost.errors import ExitCode, SmokeFailedError
from roost.operations.context import Context
from roost.operations.server_proof import last_error_of, record_proved, run_checks, subject_of
from roost.prefect.client_versions import advise_clients
from roost.prefect.gate_pages import quoted
from roost.prefect.probe import CheckResult


async def smoke(  # noqa: PLR0913 - one argument an option
    context: Context,
    name: str,
    *,
    local: bool,
    version: str,
    stock: bool,
    as_json: bool,
) -> ExitCode:
    """Run the checks of the gate against a URL or an environment.

    Raises:
        SmokeFailedError: at least one check failed.
    """
    async with subject_of(context, name, version, local=local) as subject:
        results = [
            result async for result in run_checks(context, subject, stock=stock, quiet=as_json)
        ]
        is_good = all(result.ok for result in results)
        if is_good:
            await record_proved(context, subject)
        last_error = "" if is_good else await last_error_of(context, subject.url, subject.auth)
    if subject.auth and not as_json and (advice := _about_clients(results)):
        context.out.print(advice, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        context.out.print_json(
            json.dumps(
                {
                    "url": subject.url,
                    "ok": is_good,
                    "checks": [vars(result) for result in results],
                    "last_error": last_error,
                }
            )
        )
    failed = [result.name for result in results if not result.ok]
    if failed:
        raise SmokeFailedError(
            f"{subject.url}: {', '.join(failed)} failed.{quoted(last_error)}",
            advice="Each failed check says what to do.",
        )
    return ExitCode.DONE


def _about_clients(results: Sequence[CheckResult]) -> str:
    """Return which client versions work with the server; empty if its version is unknown."""
    found = [result.detail for result in results if result.name == "version" and result.ok]
    return advise_clients(found[0].removeprefix("Prefect ")) if found else ""

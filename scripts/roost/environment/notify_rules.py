"""Rules for the section `notify`."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.job_variables import refused_source
from roost.environment.model import Environment
from roost.environment.rules import Finding, Rule


def addresses_are_listed_once(environment: Environment) -> Iterator[Finding]:
    """One address has one entry, so that a fact is told once."""
    seen: set[str] = set()
    for index, entry in enumerate(environment.notify):
        if entry.url_secret.name in seen:
            yield (
                ("notify", index, "url_secret"),
                f"{entry.url_secret.name} is listed twice; keep one entry with all it is told in `on`",
            )
        seen.add(entry.url_secret.name)


def facts_are_listed_once(environment: Environment) -> Iterator[Finding]:
    """A word that is listed twice hides a mistake."""
    for index, entry in enumerate(environment.notify):
        for number, fact in enumerate(entry.on):
            if fact in entry.on[:number]:
                yield ("notify", index, "on", number), f"{fact} is listed twice; keep one"


def addresses_are_not_the_job_s(environment: Environment) -> Iterator[Finding]:
    """No address may come from a credential of the job that sends to it."""
    for index, entry in enumerate(environment.notify):
        if message := refused_source(
            entry.url_secret, replicates=False, instead="address for messages"
        ):
            yield ("notify", index, "url_secret", "from", "env"), message


def addresses_have_one_source(environment: Environment) -> Iterator[Finding]:
    """A name that is also under `secrets` means the same value there."""
    own = {secret.name: secret.source for secret in environment.secrets}
    for index, entry in enumerate(environment.notify):
        secret = entry.url_secret
        if own.get(secret.name, secret.source) != secret.source:
            yield (
                ("notify", index, "url_secret"),
                f"{secret.name} has another source under secrets; choose another name here",
            )


RULES: tuple[Rule, ...] = (
    addresses_are_listed_once,
    facts_are_listed_once,
    addresses_are_not_the_job_s,
    addresses_have_one_source,
)

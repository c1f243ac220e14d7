"""Rules for the section `waker` that need nothing but the file."""

from __future__ import annotations

from collections.abc import Iterator

from roost.environment.flow_units import flow_app
from roost.environment.model import Environment
from roost.environment.rules import Finding, Rule
from roost.environment.waker import NAME


def the_name_is_taken(environment: Environment) -> Iterator[Finding]:
    """Commands call the waker ENVIRONMENT.waker, also where it comes later."""
    for index, entry in enumerate(environment.flows):
        if entry.name == NAME:
            yield (
                ("flows", index, "name"),
                f"{NAME} is the name of the waker; rename the flow server",
            )


def its_app_is_its_own(environment: Environment) -> Iterator[Finding]:
    """The waker is an app of its own."""
    if environment.waker is None:
        return
    theirs = [flow_app(environment.app, entry.name) for entry in environment.flows]
    if environment.waker.app in (environment.app, *theirs):
        yield (
            ("waker", "app"),
            f"{environment.waker.app} is another app of this file; choose a name",
        )


def the_server_announces_itself(environment: Environment) -> Iterator[Finding]:
    """Only a server of Roost's image announces when it is needed."""
    if environment.waker is not None and environment.prefect.image is not None:
        yield ("waker",), "only roost's own image tells a waker; remove prefect.image, or waker"


WAKER_RULES: tuple[Rule, ...] = (the_name_is_taken, its_app_is_its_own, the_server_announces_itself)

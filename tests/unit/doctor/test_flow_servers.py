"""What doctor asks for a flow server: its app, a token that reaches it, and an owner of its folder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpers.environments import environment_file
from helpers.flow_folders import NIGHTLY
from roost.doctor.files import wanted_variables
from roost.doctor.fly import fly_checks
from roost.errors import FlyForbiddenError
from roost.report.codeowners import read_codeowners
from roost.report.owned_paths import must_be_owned, unowned
from roost.secret_text import SecretText

HOOK = {**NIGHTLY, "secrets": ["HOOK"]}


class NoApp:
    """A Fly without any app, or one whose token reaches none."""

    def __init__(self, *, forbids=False):
        self.forbids = forbids

    async def current_tokens(self):
        """Return no token."""
        return ()

    async def get_app(self, app):
        """Return nothing, or refuse."""
        if self.forbids:
            raise FlyForbiddenError("Fly answered 403.", where=app)


async def found_on(fly):
    """Return the checks of the flow server."""
    file = environment_file(flows=[NIGHTLY])
    token, now = SecretText("fm2_token"), datetime(2026, 11, 30, tzinfo=UTC)
    return [
        c async for c in fly_checks(fly, token, [file], now) if c.environment == "staging.nightly"
    ]


@pytest.mark.anyio
async def test_an_app_that_is_missing_has_the_command_that_creates_it():
    (check,) = await found_on(NoApp())

    assert check.mend == "fly apps create acme-prefect-nightly --org personal"


@pytest.mark.anyio
async def test_a_token_of_the_server_alone_is_not_enough():
    (check,) = await found_on(NoApp(forbids=True))

    assert "does not reach the app acme-prefect-nightly" in check.what
    assert "-a acme-prefect-nightly" in check.mend
    assert "join the tokens" in check.mend


def test_secrets_of_flow_servers_are_to_be_passed_on():
    assert "HOOK" in wanted_variables(environment_file(flows=[HOOK]))


@pytest.mark.parametrize("line", ["/flows/", "/flows/nightly/*.py", "/flows/nightly/lib/"])
def test_the_folder_of_a_protected_environment_needs_an_owner(line):
    owners = read_codeowners(f"* @acme/platform\n{line}\n")
    protected = environment_file(flows=[NIGHTLY], protected=True)

    assert any(
        path.startswith("flows/nightly/") for path in unowned(owners, must_be_owned([protected]))
    )
    assert not unowned(owners, must_be_owned([environment_file(flows=[NIGHTLY])]))


def test_by_default_flows_have_an_owner():
    owners = read_codeowners("* @acme/platform\n")

    assert not unowned(owners, must_be_owned([environment_file(flows=[NIGHTLY], protected=True)]))

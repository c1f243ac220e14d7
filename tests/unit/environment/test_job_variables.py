"""A file cannot name a credential of the job that deploys it, and reads what to do instead."""

from __future__ import annotations

import pytest

from helpers.environments import environment_data
from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.job_variables import JOB_VARIABLES
from roost.environment.model import AUTH_SECRET, Environment
from roost.environment.rules import findings

NAMES = [name for group in JOB_VARIABLES for name in group.names]
PREFIXES = [prefix for group in JOB_VARIABLES for prefix in group.prefixes]
# What a job on GitHub really has, or a person's shell: each was looked up, none is made up.
KNOWN = (
    *("FLY_API_TOKEN", "FLY_ACCESS_TOKEN", "SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "VAULT_TOKEN"),
    *("GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "ACTIONS_RUNTIME_TOKEN"),
    *("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "RUNNER_TEMP", "INPUT_TOKEN", "AWS_SESSION_TOKEN"),
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_ACCESS_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"),
    *("DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "NPM_TOKEN", "NODE_AUTH_TOKEN", "PIP_INDEX_URL"),
    *("UV_PUBLISH_TOKEN", "TWINE_PASSWORD", "HOME", "PATH", "SSH_AUTH_SOCK", "KUBECONFIG"),
    *("http_proxy", "HTTPS_PROXY", "all_proxy", "NETRC", "PYTHONPATH", "LD_PRELOAD"),
    *("ROOST_LOCALFLY_TOKEN", "LOCALFLY_HOME", "RUN_STATE"),
)
REPLICATED = {"database": {"backend": "sqlite", "replicate": "s3://acme-backups/prefect"}}


def faults(*secrets, **fields):
    data = environment_data(**{**fields, "secrets": [AUTH_SECRET, *secrets]})
    found = findings(Environment.model_validate(data))
    return [(path, message) for path, message in found if path[0] == "secrets"]


def from_variable(variable, name="S1"):
    return {"name": name, "from": {"env": variable}}


@pytest.mark.parametrize("variable", [*NAMES, *KNOWN, *(f"{p}X" for p in PREFIXES)])
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper], ids=["as is", "lower", "upper"])
def test_a_variable_of_the_job_is_no_source(variable, spelling):
    """In whatever case: some systems do not tell one from the other."""
    [(path, message)] = faults(from_variable(spelling(variable)))

    assert path == ("secrets", 1, "from", "env")
    assert message.endswith("such as {name: S1, from: {env: ACME_S1}}")


@pytest.mark.parametrize("variable", ["FLY_API_TOKEN", "SOPS_AGE_KEY", "PATH"])
def test_neither_is_it_in_the_short_form(variable):
    [(path, message)] = faults(variable)

    assert path[:2] == ("secrets", 1)
    assert message.startswith(f"{variable} is ")
    assert f"{{name: {variable}, from: {{env: ACME_{variable}}}}}" in message


@pytest.mark.parametrize("group", JOB_VARIABLES, ids=lambda group: group.what)
def test_the_message_says_what_it_is_why_it_is_refused_and_the_way_out(group):
    variable = [*group.names, *(f"{prefix}X" for prefix in group.prefixes)][0]

    [(_, message)] = faults(from_variable(variable))

    assert message == (
        f"{variable} is {group.what}, and is not sent to a server: {group.why}; use a variable of "
        "your own, such as {name: S1, from: {env: ACME_S1}}"
    )


@pytest.mark.parametrize(
    "variable",
    [
        *("SLACK_HOOK", "DATABASE_URL", AUTH_SECRET, "ACME_AWS_ACCESS_KEY_ID", "MY_GITHUB_TOKEN"),
        *("CIVIL", "HOMEPAGE", "PATHS", "FLYER", "AGENT_KEY", "PREFECT_API_AUTH_STRING", "GHOST"),
    ],
)
def test_any_other_variable_is_a_source(variable):
    assert faults(from_variable(variable)) == []


@pytest.mark.parametrize("name", ["FLY_API_TOKEN", "AWS_ACCESS_KEY_ID", "GITHUB_TOKEN", "PATH"])
def test_the_secret_itself_may_have_any_name(name):
    """What a server calls it is its own affair: only where it is read matters."""
    assert faults(from_variable(f"ACME_{name}", name)) == []
    assert faults({"name": name, "from": {"sops": "production.sops.yaml"}}) == []


@pytest.mark.parametrize("name", BUCKET_SECRETS)
def test_the_keys_of_the_copy_s_bucket_may_have_the_names_that_are_fixed(name):
    other = next(other for other in BUCKET_SECRETS if other != name)

    assert faults(*BUCKET_SECRETS, **REPLICATED) == []
    assert faults(from_variable(name, name), other, **REPLICATED) == []
    # Only so: without a copy, under another name, in another case, or by another variable.
    assert faults(name)
    assert faults(*BUCKET_SECRETS, from_variable(name), **REPLICATED)
    assert faults(from_variable(name.lower(), name), other, **REPLICATED)
    assert faults(*BUCKET_SECRETS, "AWS_SESSION_TOKEN", **REPLICATED)


@pytest.mark.parametrize("token", ["github_pat_11ABCDEhunter2", "npm_hunter2", "os_hunter2"])
def test_a_token_that_was_pasted_in_a_name_s_place_is_not_repeated(token):
    for secret in (token, from_variable(token), from_variable(token, token)):
        [(_, message)] = faults(secret)

        assert "hunter2" not in message
        assert message.startswith("this variable is ")

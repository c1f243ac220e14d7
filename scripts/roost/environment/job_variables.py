"""Variables of the job or the person that runs roost, which no file may send to a server.

An environment file names variables that roost reads and sends to a server, where everybody who may
run a flow can read them. A job has credentials of its own beside the values of secrets: the deploy
token, GitHub's token, SOPS keys, cloud logins. So a file cannot name these. The table is wide on
purpose: the fix is always to use another name for the variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.fields import Secret

OWN = "ACME_"
"""The prefix of the variables that messages propose."""
# Names that a message may repeat: a token that was pasted instead of a name has lower-case letters.
_SHOWABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)


@dataclass(frozen=True)
class JobVariables:
    """Variables that are refused for one reason; names are compared without case.

    Args:
        what: what they are, as in "it is WHAT".
        why: the danger if a server had them, after "is not sent to a server:".
        prefixes: the beginnings of their names.
        names: further names.
    """

    what: str
    why: str
    prefixes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def covers(self, variable: str) -> bool:
        """Return whether a variable is one of these."""
        name = variable.upper()
        return name in self.names or name.startswith(self.prefixes)


JOB_VARIABLES = (
    JobVariables(
        "one of Fly's own variables, such as the deploy token",
        "whoever reads it there could change every app that the token reaches",
        prefixes=("FLY_", "FLYCTL_"),
    ),
    JobVariables(
        "one of the workflow's own variables, such as the GitHub token",
        "whoever reads it there could act in the repository",
        prefixes=(
            *("GITHUB_", "GH_", "GHCR_", "ACTIONS_", "RUNNER_", "INPUT_"),
            *("CI_", "GITLAB_", "BUILDKITE_", "CIRCLE_", "JENKINS_", "BITBUCKET_"),
        ),
        names=("CI", "SYSTEM_ACCESSTOKEN"),
    ),
    JobVariables(
        "a key that opens other secrets",
        "whoever reads it there could read all of them",
        prefixes=(
            *("SOPS_", "AGE_", "VAULT_", "BAO_", "ANSIBLE_VAULT_", "GPG_", "GNUPG"),
            *("OP_", "BW_", "BWS_", "DOPPLER_", "INFISICAL_"),
        ),
    ),
    JobVariables(
        "a cloud login of the job",
        "whoever reads it there could act in that cloud as the job",
        prefixes=(
            *("AWS_", "AZURE_", "ARM_", "MSI_", "IDENTITY_", "GOOGLE_", "GCP_", "GCLOUD_"),
            *("CLOUDSDK_", "DIGITALOCEAN_", "CLOUDFLARE_", "CF_", "HCLOUD_", "LINODE_", "SCW_"),
            *("OCI_", "OS_", "ALICLOUD_", "ALIBABA_CLOUD_", "IBMCLOUD_", "HEROKU_", "VERCEL_"),
            *("NETLIFY_", "TF_", "TFE_", "PULUMI_"),
        ),
        names=("BOTO_CONFIG", "PREFECT_API_KEY"),
    ),
    JobVariables(
        "a login of a registry, or a setting of a package tool",
        "whoever reads it there could publish as the job",
        prefixes=(
            *("DOCKER_", "BUILDX_", "BUILDKIT_", "REGISTRY_", "COSIGN_", "NPM_", "YARN_", "PNPM_"),
            *("NODE_", "PIP_", "UV_", "TWINE_", "PYPI_", "POETRY_", "PDM_", "HATCH_", "CARGO_"),
            *("NUGET_", "CONDA_", "ANACONDA_", "HOMEBREW_"),
        ),
    ),
    JobVariables(
        "a variable of the computer that runs roost",
        "it describes that computer, and may hold a login",
        prefixes=("SSH_", "KUBE", "PYTHON", "LD_", "DYLD_", "GIT_", "XDG_", "SSL_", "CURL_"),
        names=(
            *("HOME", "PATH", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "HOSTNAME", "LANG"),
            *("TMPDIR", "TMP", "TEMP", "NETRC", "ENV", "BASH_ENV", "VIRTUAL_ENV", "XAUTHORITY"),
            *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"),
        ),
    ),
    JobVariables(
        "one of Roost's own settings",
        "it controls how roost itself runs",
        prefixes=("ROOST_", "LOCALFLY_"),
        names=("RUN_STATE",),
    ),
)


def refused_source(secret: Secret, *, replicates: bool, instead: str = "") -> str:
    """Return why the variable of a secret may not be read, and the fix; empty where it may.

    Args:
        secret: a secret of an environment file.
        replicates: whether the environment's database is copied or dumped to a bucket, whose two keys
            have fixed names by default (`BUCKET_SECRETS`): those alone may come from a variable of
            their own name.
        instead: what the value is for, such as `address for messages`; empty for one that is
            sent to a server.
    """
    variable = secret.source.env
    group = next((g for g in JOB_VARIABLES if variable and g.covers(variable)), None)
    is_bucket_key = secret.name == variable and variable in BUCKET_SECRETS
    if group is None or (replicates and is_bucket_key):
        return ""
    name = secret.name if _SHOWABLE.fullmatch(secret.name) else "NAME"
    shown = variable if _SHOWABLE.fullmatch(variable) else "this variable"
    refusal = f"is no {instead}" if instead else f"is not sent to a server: {group.why}"
    return (
        f"{shown} is {group.what}, and {refusal}; "
        f"use a variable of your own, such as {{name: {name}, from: {{env: {OWN}{name}}}}}"
    )

"""The pull request and the issue about a new release of Prefect: their texts. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from roost.report.markdown import code, text

RELEASES = "https://github.com/PrefectHQ/prefect/releases/tag"
PROOF = (
    "The rehearsal of this pull request runs the real migrations: read it in the comment below before "
    "you merge."
)
_Number = Annotated[str, Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Identity = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")]


class Upgrade(BaseModel):
    """A proposed upgrade, as one job of the workflow hands it to the next ones.

    Args:
        version: the release to run.
        environments: those to change, each with the version it runs now.
        left: protected environments that run an older version, each with that.
        trial: the environment as which the release was started; empty where none could be.
        mends: the known vulnerabilities that it mends; None where no list of them was found.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: _Number
    environments: dict[_Name, _Number]
    left: dict[_Name, _Number] = {}
    trial: _Name | Literal[""] = ""
    mends: Annotated[tuple[_Identity, ...], Field(strict=False)] | None = None

    @property
    def title(self) -> str:
        """The title of the pull request; a security release is named as such."""
        names = ", ".join(self.environments)
        what = f"Upgrade Prefect to {self.version} in {names}"
        return f"Security: {what[0].lower()}{what[1:]}" if self.mends else what


def upgrade_lines(upgrade: Upgrade) -> tuple[str, ...]:
    """Return the text of the pull request."""
    changed = [
        f"- {code(f'environments/{name}')}: {code(before)} → {code(upgrade.version)}"
        for name, before in upgrade.environments.items()
    ]
    lines = [
        "\n".join(changed),
        f"[Release notes of Prefect {upgrade.version}]({RELEASES}/{upgrade.version})",
        _security(upgrade),
        f"{_tried(upgrade)} {PROOF}",
    ]
    if upgrade.left:
        listed = ", ".join(f"{code(name)} ({before})" for name, before in upgrade.left.items())
        lines.append(
            f"Protected, and left as they are: {listed}. Change their files once this is proved."
        )
    return tuple(line for line in lines if line)


def _tried(upgrade: Upgrade) -> str:
    locked = "The packages are locked with hashes"
    if not upgrade.trial:
        return f"{locked}. The release was not started yet: each of these servers has a database of its own."
    how = f"was started as {code(upgrade.trial)} with the whole gate, in a job without any token"
    return f"{locked}, and the release {how}."


def _security(upgrade: Upgrade) -> str:
    if upgrade.mends is None:
        return (
            "Whether it mends a known vulnerability is not known: the package index has no such list. "
            "Read the release notes."
        )
    if not upgrade.mends:
        return ""
    return f"**Security release**: it mends {', '.join(code(each) for each in upgrade.mends)}."


def failed_issue(upgrade: Upgrade, run_url: str) -> tuple[str, str]:
    """Return the title and the text of the issue about a release that cannot be used."""
    title = f"Prefect {upgrade.version} does not start in the server's image"
    name = upgrade.trial or next(iter(upgrade.environments))
    by_hand = f"./run upgrade {upgrade.version} {name} --try {name}"
    body = (
        f"Prefect {upgrade.version} could not be locked, built into the image or started "
        f"there. [The run]({run_url}) says what failed.\n\nNothing was changed. The next run tries the "
        f"newest release again and closes this issue when one starts. To try by hand: {code(by_hand)}.\n"
    )
    return title, body


def waiting_issue(title: str, link: str) -> tuple[str, str]:
    """Return the title and the text of the issue with the link to open the pull request by."""
    body = (
        f"{text(title)}: [open the pull request]({link}).\n\nThe branch is ready. "
        "Its checks and its rehearsal start when a person opens it, because a workflow's own token "
        "opens no pull requests here. With a GitHub App (docs/github.md) it is opened by itself.\n"
    )
    return title, body

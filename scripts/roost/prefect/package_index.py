"""Read which releases of Prefect the package index has, and which of them are known to be vulnerable.

The index answers as JSON (packaging.python.org, "Simple repository API", versions 1.1 and later, which
have the time of each upload). Vulnerabilities are those of PyPI's own JSON API (its documentation, "JSON
API"), which has what the Python Packaging Advisory Database publishes; other indexes rarely have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import httpx
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from roost.errors import PackageIndexError, UsageError
from roost.http.connection import read_address, service_client
from roost.http.exchange import exchange
from roost.prefect.upgrade_step import Release, Vulnerability
from roost.prefect.versions import parse_version

PUBLIC = "pypi"
"""The public index, which `./run` takes packages from where no variable names another one."""
PYPI = f"https://{PUBLIC}.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json"
TIMEOUT_S = 30.0
_WHEEL = ".whl"


class _File(BaseModel):
    """A file of a project."""

    filename: str
    uploaded: AwareDatetime | None = Field(None, alias="upload-time")
    yanked: bool | str = False


class _Project(BaseModel):
    """A project with its files."""

    files: tuple[_File, ...]


class _Known(BaseModel):
    """A vulnerability, as PyPI has it."""

    id: str
    aliases: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()
    withdrawn: str | None = None


class _VersionPage(BaseModel):
    """What PyPI says about one version of a project."""

    vulnerabilities: tuple[_Known, ...] = ()


def index_address(environ: Mapping[str, str]) -> httpx.URL:
    """Return the address of the index that `./run` takes packages from; it may have a login in it.

    Raises:
        UsageError: it is no http address.
    """
    text = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    wrong = UsageError(
        "The address of the package index is not an http address.",
        where="UV_DEFAULT_INDEX",
        advice=f"Unset it, or give one like {PYPI}",
    )
    return read_address(text or environ.get("PIP_INDEX_URL") or PYPI, wrong)


class PackageIndex:
    """An index of packages.

    Args:
        address: the root of its simple API, which ends with /simple; a login in it is shown nowhere.
        transport: for tests; the network by default.
    """

    def __init__(
        self, address: httpx.URL, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._root = str(address).rstrip("/")
        self._host = address.host
        self._transport = transport

    def __repr__(self) -> str:
        return f"PackageIndex({self._host!r})"

    async def releases(self) -> tuple[Release, ...]:
        """Return the releases of Prefect that have a wheel, in no order.

        Raises:
            PackageIndexError: the index does not answer, or not as JSON.
        """
        response = await self._get(f"{self._root}/prefect/", ACCEPT)
        if not response.is_success:
            raise self._error(f"answered {response.status_code}")
        try:
            project = _Project.model_validate_json(response.content)
        except ValidationError:
            raise self._error("did not answer with the JSON of its simple API") from None
        return tuple(_releases(project))

    async def vulnerabilities(self, version: str) -> tuple[Vulnerability, ...] | None:
        """Return the known vulnerabilities of a version of Prefect; None where the index has no such list."""
        root = self._root.removesuffix("/simple")
        try:
            response = await self._get(f"{root}/pypi/prefect/{version}/json", "application/json")
            if not response.is_success:
                return None
            page = _VersionPage.model_validate_json(response.content)
        except (PackageIndexError, ValidationError):
            return None
        return tuple(_vulnerability(each) for each in page.vulnerabilities if not each.withdrawn)

    async def _get(self, address: str, accept: str) -> httpx.Response:
        client = service_client("", {"accept": accept}, TIMEOUT_S, self._transport)
        async with client:
            try:
                return await exchange(client, client.build_request("GET", address), TIMEOUT_S)
            except httpx.RequestError as failure:
                raise self._error(f"did not answer ({type(failure).__name__})") from None

    def _error(self, what: str) -> PackageIndexError:
        return PackageIndexError(
            f"The package index {what}.", where=self._host, advice="Run the workflow again."
        )


def _releases(project: _Project) -> Iterator[Release]:
    """Yield one release for each wheel: Prefect has one of each version, for all platforms."""
    for file in project.files:
        if file.filename.startswith("prefect-") and file.filename.endswith(_WHEEL):
            version = parse_version(file.filename.split("-")[1])
            if version is not None:
                at = file.uploaded.astimezone(UTC) if file.uploaded else None
                yield Release(version, at, bool(file.yanked))


def _vulnerability(known: _Known) -> Vulnerability:
    names = [name for name in known.aliases if name.startswith("CVE-")]
    fixed: Any = (parse_version(each) for each in known.fixed_in)
    return Vulnerability((names or [known.id])[0], tuple(each for each in fixed if each))


def index_of(environ: Mapping[str, str]) -> PackageIndex:
    """Open the index that `./run` takes packages from.

    Raises:
        UsageError: its address is no http address.
    """
    return PackageIndex(index_address(environ))

"""The root certificate for a Postgres server: from a secret, or the system's."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from roost_server.errors import BootError
from roost_server.postgres_address import ROOT_CERTIFICATE, SYSTEM
from roost_server.settings import URL_VARIABLE, home_folder

# asyncpg reads this variable, as libpq does
# (https://www.postgresql.org/docs/current/libpq-envars.html).
FILE_VARIABLE = "PGSSLROOTCERT"
FILE_NAME = "postgres-ca.pem"
SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def certificate_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Write the certificate where asyncpg finds it; return the variable that names the file.

    Raises:
        BootError: the address names a file that is not on the machine, a secret without a value, or
            a secret that holds no certificate.
    """
    wanted = environ.get(ROOT_CERTIFICATE, "")
    if not wanted:
        return {}
    if wanted == SYSTEM:
        # A value that the user set for libpq's variable is kept.
        return {FILE_VARIABLE: environ.get(FILE_VARIABLE) or _system_file()}
    if wanted.startswith("/") and Path(wanted).is_file():
        return {FILE_VARIABLE: wanted}
    name = environ.get(URL_VARIABLE, "")
    if not SECRET.fullmatch(wanted):
        raise BootError(
            f"{name} names a certificate by a file (sslrootcert), which is not on this machine; put "
            "the certificate itself into a secret, such as DATABASE_CA, and write sslrootcert=DATABASE_CA"
        )
    return {FILE_VARIABLE: str(_write(environ, wanted, name))}


def _write(environ: Mapping[str, str], secret: str, name: str) -> Path:
    # Some secret stores keep a value in one line and write its line breaks as two characters.
    pem = environ.get(secret, "").replace("\\n", "\n").strip() + "\n"
    if not pem.strip():
        raise BootError(
            f"{name} says sslrootcert={secret}, and the app has no secret of that name; list it under "
            "secrets, with the certificate as its value"
        )
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError for text that is not ASCII
        raise BootError(
            f"the secret {secret} holds no certificate; its value is the text of the file, from "
            "-----BEGIN CERTIFICATE----- on"
        ) from None
    path = home_folder(environ) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(pem, encoding="ascii")
    return path


def _system_file() -> str:
    """Return the file with the certificate authorities that the image trusts."""
    file = ssl.get_default_verify_paths().cafile
    if file:
        return file
    import certifi

    return certifi.where()

"""An S3 bucket, served over HTTP by a process of its own (moto), and its content."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

from helpers.waiting import LIMIT_S
from image.machine import free_port

NAME = "copies"
KEYS = {"AWS_ACCESS_KEY_ID": "id-of-nobody", "AWS_SECRET_ACCESS_KEY": "key-of-nobody"}
PROGRAMS = Path(sys.executable).parent
"""Where the locked Litestream of the tests is."""
CALL = re.compile(rf'"(?P<verb>[A-Z]+) /{NAME}(?P<what>[/?][^ ]*)')


class Bucket:
    """One bucket; its content is lost when its process ends."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "bucket.log"
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-p", self.endpoint.rpartition(":")[2]],
                # Nothing of whoever runs the tests decides what it does.
                env={"PATH": os.defpath, "HOME": str(folder), "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._make()

    def _make(self) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{NAME}", method="PUT")
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=LIMIT_S):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.05)

    def url(self, path: str) -> str:
        """Return the address of a place in it, as an environment file has it."""
        return f"s3://{NAME}/{path}"

    def objects(self, path: str) -> list[str]:
        """List the objects under a path."""
        address = f"{self.endpoint}/{NAME}?list-type=2&prefix={path}/"
        with urllib.request.urlopen(address, timeout=LIMIT_S) as answer:
            return re.findall(r"<Key>([^<]+)</Key>", answer.read().decode())

    def spoil(self, name: str) -> None:
        """Corrupt the last third of the objects under a path."""
        address = f"{self.endpoint}/{NAME}/{name}"
        # Any signature will do, but one there must be.
        signed = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request",
            # Without one, the content of a PUT counts as a form and is lost.
            "Content-Type": "application/octet-stream",
        }
        with urllib.request.urlopen(
            urllib.request.Request(address, headers=signed), timeout=LIMIT_S
        ) as answer:
            whole = answer.read()
        kept = whole[: 2 * len(whole) // 3]
        spoiled = kept + bytes(255 - byte for byte in whole[len(kept) :])
        request = urllib.request.Request(address, data=spoiled, headers=signed, method="PUT")
        with urllib.request.urlopen(request, timeout=LIMIT_S):
            pass

    def calls(self) -> Counter[str]:
        """Count the requests by kind: LIST, PUT, GET and so on."""
        found = CALL.finditer(self._log.read_text("utf-8", "replace"))
        return Counter(
            "LIST" if call["what"].startswith("?") and "list-type" in call["what"] else call["verb"]
            for call in found
        )

    def fetch(self, path: str, target: Path) -> Path:
        """Have Litestream itself write the newest state of a place to a file."""
        source = f"{self.url(path)}?endpoint={self.endpoint}&region=us-east-1"
        target.unlink(missing_ok=True)
        subprocess.run(
            [PROGRAMS / "litestream", "restore", "-integrity-check", "full", "-o", target, source],
            env={"PATH": os.defpath, **KEYS},
            check=True,
            capture_output=True,
        )
        return target

    def hang(self) -> None:
        """Stop answering, until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again, also the requests that waited."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

"""What all unit tests share."""

from __future__ import annotations

from functools import partial

import pytest

from roost.plan.secret_fingerprints import Effort, fingerprint


@pytest.fixture(autouse=True)
def cheap_fingerprints(monkeypatch):
    """A fingerprint is slow on purpose (80 ms each), which its own tests look at."""
    for module in ("work", "objects"):
        cheap = partial(fingerprint, effort=Effort(ln=1))
        monkeypatch.setattr(f"roost.apply.{module}.fingerprint", cheap)

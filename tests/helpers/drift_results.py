"""Results of scheduled drift checks: realistic ones, and ones with arbitrary text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from helpers.plans import HOSTILE
from roost.plan.drift import Cause
from roost.report.drift import DriftResult, OrphanFound, RunResult, TokenFound
from roost.report.issue import Seen

SEEN = Seen(
    datetime(2026, 11, 25, 4, 37, tzinfo=UTC), "https://github.com/acme/infra/actions/runs/1001"
)
LATER = Seen(
    datetime(2026, 11, 26, 4, 37, tzinfo=UTC), "https://github.com/acme/infra/actions/runs/1002"
)
BY_HAND: dict[str, Any] = {
    "key": "machine/app-1",
    "what": "update the machine app-1",
    "cause": "changed by hand",
    "field": "guest.memory_mb",
    "live": 2048,
    "wanted": 512,
    "sent": 512,
}
SECRET: dict[str, Any] = {
    "key": "secret/SLACK_HOOK",
    "what": "SLACK_HOOK: set by hand",
    "cause": "changed by hand",
}
NOT_APPLIED = {**BY_HAND, "cause": "not applied yet", "field": "env.PREFECT_LOGGING_LEVEL"}
NOT_APPLIED |= {"live": None, "wanted": "DEBUG", "sent": None}
ENDED = {**BY_HAND, "cause": "override ended", "live": 1024, "sent": None}


def result(*differences: dict[str, Any], name: str = "staging", **fields: Any) -> DriftResult:
    """Return the result of one environment."""
    state = "drift" if differences else "clean"
    document = {"environment": name, "app": f"acme-{name}", "state": state, **fields}
    return DriftResult.model_validate({**document, "differences": differences}, strict=False)


def run(*names: str, **fields: Any) -> RunResult:
    """Return the result of a run, without its environments."""
    return RunResult.model_validate({"environments": names or ("staging",), **fields}, strict=False)


def orphan(name: str = "old", why: str = "its file is gone") -> OrphanFound:
    """Return an app that no environment file describes."""
    return OrphanFound(
        app=f"acme-{name}",
        organization="acme",
        environment=name,
        why=why,
        file_is_gone=why == "its file is gone",
    )


def failed(word: str, message: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of a failure."""
    return {"state": "error", "error": {"word": word, "message": message, **fields}}


def token(days: int) -> TokenFound:
    """Return a token that ends so many days after the run."""
    ends = SEEN.when.replace(day=1, month=12) if days < 14 else datetime(2027, 6, 1, tzinfo=UTC)
    return TokenFound(ends=ends, soon=days < 14)


@st.composite
def hostile_results(draw: st.DrawFn) -> DriftResult:
    """Results in which every text is arbitrary."""
    values = HOSTILE | st.none() | st.integers() | st.lists(HOSTILE, max_size=2)
    differences = [
        {
            "key": draw(HOSTILE),
            "what": draw(HOSTILE),
            "cause": draw(st.sampled_from(Cause)).value,
            "field": draw(HOSTILE),
            **{name: draw(values) for name in ("live", "wanted", "sent")},
        }
        for _ in range(draw(st.integers(0, 4)))
    ]
    fault = {"path": draw(HOSTILE), "line": 1, "column": 1, "message": draw(HOSTILE)}
    error = {"word": draw(HOSTILE), "message": draw(HOSTILE), "faults": (fault,)}
    return result(
        *differences,
        name=draw(HOSTILE),
        app=draw(HOSTILE | st.none()),
        state=draw(st.sampled_from(["drift", "error"])),
        notes=tuple(draw(st.lists(HOSTILE, max_size=2))),
        unchecked_secrets=tuple(draw(st.lists(HOSTILE, max_size=2))),
        error=draw(st.none() | st.just(error)),
    )

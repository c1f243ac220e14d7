"""Environment files as data: a good one to change, and generated good ones."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.load import EnvironmentFile
from roost.environment.model import AUTH_SECRET, Environment
from roost.environment.regions import REGIONS

Json = dict[str, Any]

MINIMAL: Json = {
    "app": "acme-prefect",
    "region": "iad",
    "prefect": {"version": "3.8.8"},
    "secrets": [AUTH_SECRET],
}
POSTGRES: Json = {
    "database": {"backend": "postgres", "url_secret": "DATABASE_URL"},
    "secrets": [AUTH_SECRET, "DATABASE_URL"],
}
REPLICATED: Json = {
    "topology": "replicated",
    "redis": {"url_secret": "REDIS_URL"},
    "database": POSTGRES["database"],
    "prefect": {"extras": ["prefect-redis"]},
    "scaling": {"count": 2, "autostop": "off"},
    "secrets": [AUTH_SECRET, "DATABASE_URL", "REDIS_URL"],
}
PRIVATE: Json = {"access": {"public": False}}


def environment_data(*parts: Json, **fields: Any) -> Json:
    """Return a good file's data with `parts` and `fields` merged into it, mapping by mapping."""
    data = copy.deepcopy(MINIMAL)
    for part in (*parts, fields):
        for key, value in part.items():
            below = data.get(key)
            both = isinstance(value, dict) and isinstance(below, dict)
            data[key] = {**below, **value} if both else copy.deepcopy(value)  # type: ignore[dict-item] # both are dicts where it merges
    return copy.deepcopy(data)


def environment_file(*parts: Json, name: str = "staging", **fields: Any) -> EnvironmentFile:
    """Return a loaded environment, as `environment_data` describes it."""
    data = environment_data(*parts, **fields)
    return EnvironmentFile(name, Path(f"{name}.yaml"), Environment.model_validate(data))


# Those that take any text.
SETTING_NAMES = st.sampled_from(
    [
        "PREFECT_UI_URL",
        "PREFECT_LOGGING_EXTRA_LOGGERS",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT",
    ]
)
SECRET_NAMES = st.from_regex(r"HOOK_[A-Z]{1,6}", fullmatch=True)
SETTING_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
REPLICAS = st.sampled_from(
    [
        "s3://acme-backups/prefect",
        {"url": "s3://acme-backups/prefect/one", "sync_interval": "1m"},
        {"url": "s3://b-1/x", "endpoint": "https://fly.storage.tigris.dev", "region": "auto"},
    ]
)


WINDOWS = st.lists(
    st.sampled_from(
        [
            {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"},
            {"days": "sat,sun", "from": "22:00", "to": "02:00", "timezone": "America/New_York"},
        ]
    ),
    max_size=2,
)


@st.composite
def scalings(draw: st.DrawFn, counts: st.SearchStrategy[int]) -> Json:
    """A scaling section that keeps the rules across its fields."""
    count = draw(counts)
    soft = draw(st.integers(1, 200))
    least = draw(st.integers(0, count))
    autostop = draw(st.sampled_from(["off", "stop", "suspend"]))
    sleeps = count and not least and autostop != "off"
    return {
        "count": count,
        "min_machines_running": least,
        "autostop": autostop,
        "windows": draw(WINDOWS) if sleeps else [],
        "idle_after": draw(st.sampled_from(["30s", "5m", "1h30m"])),
        "concurrency": {
            "type": draw(st.sampled_from(["requests", "connections"])),
            "soft_limit": soft,
            "hard_limit": soft + draw(st.integers(0, 50)),
        },
    }


@st.composite
def environments(draw: st.DrawFn, most: int = 1) -> Json:
    """The data of an environment file that loads; with more machines than one, as live may have it."""
    postgres = draw(st.booleans())
    extra = draw(st.lists(SECRET_NAMES, unique=True, max_size=3))
    data: Json = {
        "app": "acme-prefect",
        "organization": draw(st.sampled_from(["personal", "acme"])),
        "region": draw(st.sampled_from(REGIONS)),
        "prune": draw(st.booleans()),
        "prefect": {
            "version": draw(st.sampled_from(["3.8.8", "3.9.1"])),
            "settings": draw(st.dictionaries(SETTING_NAMES, SETTING_TEXTS, max_size=3)),
        },
        "machine": {
            "size": draw(st.sampled_from(["shared-cpu-1x", "shared-cpu-2x"])),
            "memory_mb": draw(st.sampled_from([512, 1024, 2048])),
        },
        "scaling": draw(scalings(st.integers(0, most) if postgres else st.just(1))),
        "access": {"public": draw(st.booleans())},
        "secrets": [AUTH_SECRET, *extra],
    }
    retention = {
        "events": draw(st.sampled_from(["7d", "1d", "30d"])),
        "flow_runs": draw(st.sampled_from(["keep", "30d", "90d"])),
    }
    if postgres:
        data["database"] = dict(POSTGRES["database"])
        data["secrets"].append("DATABASE_URL")
        if draw(st.booleans()):
            days = draw(st.none() | st.integers(1, 3650))
            whole = {"url": "s3://acme-backups/prefect", "keep_days": days}
            data["database"]["backups"] = draw(st.sampled_from([whole["url"], whole]))
    else:
        data["database"] = {
            "backend": "sqlite",
            "volume_gb": draw(st.integers(1, 5)),
            "snapshot_retention_days": draw(st.integers(1, 60)),
        }
        if draw(st.booleans()):
            data["database"]["replicate"] = draw(REPLICAS)
            data["secrets"].extend(BUCKET_SECRETS)
    data["database"]["retention"] = retention
    return data

"""The fields of a machine config and their types, from Fly's OpenAPI document.

A test compares this table with the document. `NEWER` has fields that only newer clients know.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type of value, with its name for messages."""

    name: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Named:
    """An object with arbitrary keys and values of one shape."""

    shape: Any


@dataclass(frozen=True)
class Unknown:
    """A field that the API does not have."""

    path: str
    hint: str

    def __str__(self) -> str:
        """Return the field and a hint at the field that was probably meant."""
        return f"{self.path} ({self.hint})" if self.hint else self.path


@dataclass(frozen=True)
class Mistyped:
    """A value that the API cannot read."""

    path: str
    wanted: str

    def __str__(self) -> str:
        """Return the field and the type that it must have."""
        return f"{self.path} must be {self.wanted}"


Fault = Unknown | Mistyped


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


STRING = Kind("a string", lambda value: isinstance(value, str))
BOOLEAN = Kind("a boolean", lambda value: isinstance(value, bool))
INTEGER = Kind("an integer", lambda v: isinstance(v, int) and not isinstance(v, bool))
NUMBER = Kind("a number", _is_number)
DURATION = Kind("a duration", lambda value: isinstance(value, str) or _is_number(value))
SWITCH = Kind("off, stop or suspend", lambda value: isinstance(value, str | bool))
ANYTHING = Kind("anything", lambda _: True)


def _all(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(names, kind)


def _lists(kind: Kind, *names: str) -> dict[str, list[Kind]]:
    return {name: [kind] for name in names}


_HEADER = {"name": STRING, "values": [STRING]}
_SERVICE_CHECK = {
    **_all(STRING, "type", "method", "path", "protocol", "tls_server_name"),
    **_all(DURATION, "interval", "timeout", "grace_period"),
    "port": INTEGER,
    "tls_skip_verify": BOOLEAN,
    "headers": [_HEADER],
}
_CHECK = {**_SERVICE_CHECK, "kind": STRING}
_HTTP_OPTIONS = {
    **_all(BOOLEAN, "compress", "h2_backend"),
    **_all(INTEGER, "headers_read_timeout", "idle_timeout"),
    "response": {"headers": Named(ANYTHING), "pristine": BOOLEAN},
    "replay_cache": [
        {
            **_all(STRING, "name", "path_prefix", "type"),
            "ttl_seconds": INTEGER,
            "allow_bypass": BOOLEAN,
        }
    ],
}
_PORT = {
    **_all(INTEGER, "port", "start_port", "end_port"),
    "handlers": [STRING],
    "force_https": BOOLEAN,
    "http_options": _HTTP_OPTIONS,
    "tls_options": {"alpn": [STRING], "versions": [STRING], "default_self_signed": BOOLEAN},
    "proxy_proto_options": {"version": STRING},
}
_SERVICE = {
    **_all(STRING, "protocol", "force_instance_key", "force_instance_description"),
    **_all(INTEGER, "internal_port", "min_machines_running"),
    "autostart": BOOLEAN,
    "autostop": SWITCH,
    "ports": [_PORT],
    "concurrency": {"type": STRING, **_all(INTEGER, "soft_limit", "hard_limit")},
    "checks": [_SERVICE_CHECK],
}
GUEST = {
    **_all(STRING, "cpu_kind", "host_dedication_id", "persist_rootfs", "gpu_kind"),
    **_all(INTEGER, "cpus", "memory_mb", "max_memory_mb", "gpus"),
    "kernel_args": [STRING],
}
_MOUNT = {
    **_all(STRING, "volume", "path", "name"),
    **_all(INTEGER, "size_gb", "extend_threshold_percent", "add_size_gb", "size_gb_limit"),
    "encrypted": BOOLEAN,
}
_SECRET = {"env_var": STRING, "name": STRING}
_PROCESS = {
    **_lists(STRING, "cmd", "entrypoint", "exec"),
    "user": STRING,
    "env": Named(STRING),
    "env_from": [{"env_var": STRING, "field_ref": STRING}],
    "secrets": [_SECRET],
    "ignore_app_secrets": BOOLEAN,
}
_DNS = {
    "skip_registration": BOOLEAN,
    **_all(STRING, "hostname", "hostname_fqdn"),
    **_lists(STRING, "nameservers", "searches"),
    "options": [{"name": STRING, "value": STRING}],
    "dns_forward_rules": [{"basename": STRING, "addr": STRING}],
}
FIELDS: Json = {
    **_all(STRING, "image", "schedule", "size"),
    **_all(BOOLEAN, "auto_destroy", "disable_machine_autostart"),
    "env": Named(STRING),
    "metadata": Named(STRING),
    "guest": GUEST,
    "init": {
        **_lists(STRING, "exec", "entrypoint", "cmd", "kernel_args"),
        "tty": BOOLEAN,
        "swap_size_mb": INTEGER,
    },
    "mounts": [_MOUNT],
    "services": [_SERVICE],
    "checks": Named(_CHECK),
    "restart": {"policy": STRING, "max_retries": INTEGER, "gpu_bid_price": NUMBER},
    "stop_config": {"signal": STRING, "timeout": DURATION},
    "processes": [_PROCESS],
    "files": [
        {
            **_all(STRING, "guest_path", "raw_value", "secret_name", "image_config"),
            "mode": INTEGER,
        }
    ],
    "statics": [
        _all(STRING, "guest_path", "url_prefix", "tigris_bucket", "index_document"),
    ],
    "standbys": [STRING],
    "containers": [ANYTHING],
    "dns": _DNS,
    "metrics": {"port": INTEGER, "path": STRING, "https": BOOLEAN},
    "rootfs": {"persist": STRING, "size_gb": INTEGER},
    "cache_drive": {"size_mb": INTEGER},
    "volumes": [ANYTHING],
    "spot": ANYTHING,
}
NEWER = frozenset({"volumes", "spot"})
"""Fields of Fly's newest client or documentation that the tests' document lacks."""

# Names in fly.toml for fields of the API, which people confuse.
TOML_NAMES = {
    "auto_stop_machines": "autostop",
    "auto_start_machines": "autostart",
    "force_https": "ports[].force_https",
    "http_service": "services",
    "vm": "guest",
    "memory": "memory_mb",
    "cpu": "cpus",
    "source": "volume",
    "destination": "path",
    "initial_size": "size_gb",
    "kill_signal": "stop_config.signal",
    "kill_timeout": "stop_config.timeout",
}


def faults(value: Any, shape: Any, path: str) -> Iterator[Fault]:
    """Return every unknown field and every value of a wrong type.

    A null counts as an absent field, as Go reads it.
    """
    if value is None:
        return
    match shape:
        case Kind():
            if not shape.fits(value):
                yield Mistyped(path, shape.name)
        case list():
            yield from _list_faults(value, shape[0], path)
        case _ if not isinstance(value, dict):
            yield Mistyped(path, "an object")
        case Named():
            for key, item in value.items():
                yield from _needed(item, shape.shape, f"{path}.{key}")
        case _:
            yield from _object_faults(value, shape, path)


def _list_faults(value: Any, shape: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Mistyped(path, "a list")
        return
    for index, item in enumerate(value):
        yield from _needed(item, shape, f"{path}[{index}]")


def _object_faults(value: Json, shape: Json, path: str) -> Iterator[Fault]:
    for key, item in value.items():
        if key in shape:
            yield from faults(item, shape[key], f"{path}.{key}")
        else:
            yield Unknown(f"{path}.{key}", _hint(key, shape))


def _needed(value: Any, shape: Any, path: str) -> Iterator[Fault]:
    """Check an element of a list or an object, where null is not allowed."""
    if value is None:
        yield Mistyped(path, shape.name if isinstance(shape, Kind) else "an object")
    else:
        yield from faults(value, shape, path)


def _hint(key: str, shape: Json) -> str:
    if key in TOML_NAMES:
        return f"that is fly.toml; here it is {TOML_NAMES[key]}"
    close = difflib.get_close_matches(key, shape, n=1)
    return f"did you mean {close[0]}?" if close else ""

"""Import Prefect without work that a server has no use for: it costs time and memory at every start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

from roost_server.prefect_internals import KEYED_SETTINGS

STORE = "key_value"
"""The package of Prefect's key-value store. It checks its types by beartype, unless that is off."""
CHECKS_OFF = "PY_KEY_VALUE_DISABLE_BEARTYPE"
CHECKER = "beartype"


def import_unchecked(environ: Mapping[str, str]) -> None:
    """Import the key-value store without beartype, where its checks are off anyway.

    Even switched off, beartype is imported with 400 modules, which take 9 MB and 7 % of the start.
    Only this import does without it: whatever imports beartype later, such as an extra package, gets
    the real one. A store that needs more of it than is known here is imported with it.
    """
    if environ.get(CHECKS_OFF, "").lower() not in {"1", "true", "yes"} or CHECKER in sys.modules:
        return
    before = set(sys.modules)
    stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    try:
        import_module("key_value.aio")
        import_module("key_value.aio._utils.beartype")
    except Exception:  # noqa: BLE001 - the real import follows, and shows what is wrong
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == STORE:
                del sys.modules[name]
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def _stand_ins() -> dict[str, ModuleType]:
    """Return modules with the names that the store imports from beartype; they check nothing."""
    checker, claw = ModuleType(CHECKER), ModuleType(f"{CHECKER}.claw")
    names: dict[str, Any] = {
        "__path__": [],
        "beartype": _unchecked,
        "BeartypeConf": lambda **_: None,
        "BeartypeStrategy": SimpleNamespace(O0=0, O1=1),
        "claw": claw,
    }
    vars(checker).update(names)
    vars(claw).update(beartype_this_package=lambda **_: None)
    return {checker.__name__: checker, claw.__name__: claw}


def _unchecked(function: Callable[..., Any] | None = None, **_: Any) -> Any:
    """Return a function, or with only options a decorator that returns it, as it is."""
    return _unchecked if function is None else function


def key_settings_by_identity() -> None:
    """Let Prefect find the application of its settings by their identity, and not by all their values.

    Prefect keeps the applications that it made by a key of the whole settings, and writes all of them
    out twice for it, which takes a tenth of the start. A server makes one application.
    """
    KEYED_SETTINGS.load().hash_key = lambda self: str(id(self))

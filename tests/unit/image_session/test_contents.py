from __future__ import annotations

import pytest

from image.contents import faults, user_id

PARTS = [("server.py", b"print()\n")]
PASSWD = "root:x:0:0:root:/root:/bin/bash\nprefect:x:10001:10001::/nonexistent:/usr/sbin/nologin\n"


@pytest.fixture
def tree(tmp_path):
    """A root file system without fault."""
    for folder in ("tmp", "etc", "opt/roost/__pycache__", "opt/venv/bin", "usr/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "opt/roost/server.py").write_bytes(b"print()\n")
    (tmp_path / "opt/roost/server.py").chmod(0o644)
    (tmp_path / "opt/roost/__pycache__/server.cpython-313.pyc").touch()
    (tmp_path / "opt/venv/bin/litestream").touch(mode=0o755)
    (tmp_path / "etc/passwd").write_text(PASSWD)
    return tmp_path


def test_a_good_image_has_no_fault(tree):
    assert list(faults(tree, PARTS)) == []


def test_a_missing_file_is_named(tree):
    (fault,) = faults(tree, [*PARTS, ("roost_server/serve.py", b"")])

    assert fault == "/opt/roost/roost_server/serve.py is missing."


def test_a_file_that_is_not_what_is_committed_is_named(tree):
    (fault,) = faults(tree, [("server.py", b"other\n")])

    assert "/opt/roost/server.py is not what is committed" in fault


def test_a_file_only_root_can_read_is_named(tree):
    (tree / "opt/roost/baked").mkdir()
    (tree / "opt/roost/baked/index.html").touch(mode=0o600)

    (fault,) = faults(tree, PARTS)

    assert fault == "The server's user cannot read /opt/roost/baked/index.html."


def test_a_program_that_cannot_be_run_is_named(tree):
    (tree / "opt/venv/bin/litestream").chmod(0o644)

    (fault,) = faults(tree, PARTS)

    assert fault == "/opt/venv/bin/litestream cannot be run by the server's user."


@pytest.mark.parametrize("stranger", ["etc/pip.conf", "opt/venv/bin/pip", "usr/bin/gcc"])
def test_what_belongs_to_the_building_is_named(tree, stranger):
    (tree / stranger).touch()

    assert list(faults(tree, PARTS)) == [f"/{stranger} must not be there."]


def test_what_a_step_left_behind_is_named(tree):
    (tree / "tmp/download").touch()

    assert list(faults(tree, PARTS)) == ["/tmp/download was left behind."]


@pytest.mark.parametrize(
    "folder", ["opt/venv/lib/python3.13/site-packages/dear", "usr/local/lib/python3.13/json"]
)
def test_a_module_without_bytecode_is_named(tree, folder):
    (tree / folder).mkdir(parents=True)
    (tree / folder / "slow.py").touch()

    (fault,) = faults(tree, PARTS)

    assert fault == f"There is no bytecode for /{folder}/slow.py."


def test_of_many_files_the_first_are_named_and_the_rest_counted(tree):
    for name in "abcde":
        (tree / f"opt/venv/{name}.py").touch()

    (fault,) = faults(tree, PARTS)

    assert fault.endswith("/opt/venv/a.py, /opt/venv/b.py, /opt/venv/c.py and 2 more.")


def test_a_module_no_server_imports_needs_no_bytecode(tree):
    folder = tree / "usr/local/lib/python3.13/ensurepip"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()

    assert list(faults(tree, PARTS)) == []


def test_the_server_user_is_read_from_the_image(tree):
    assert user_id(tree) == 10001


def test_an_image_without_the_user_has_none(tree):
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")

    assert user_id(tree) is None

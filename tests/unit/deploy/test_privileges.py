"""The server and its volume change to the image's user, if the server starts as root."""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from roost_machine.image_user import UID, USER, hand_over, image_user
from roost_server.privileges import drop_privileges

DEPLOY = Path(__file__).parents[3] / "deploy"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand over and become others")
# Drops for real, in a process that may; tells what it is then, and what it still can do.
DROP = """
import json, os, pwd, sys
from pathlib import Path
from roost_machine.image_user import UID, USER
from roost_server.privileges import drop_privileges

def can(act, *arguments):
    try:
        act(*arguments)
    except OSError:
        return False
    return True

ours = pwd.struct_passwd((USER, "x", UID, UID, "", "/nonexistent", "/sbin/nologin"))
pwd.getpwnam = {USER: ours}.__getitem__
os.setgroups([0, 4])  # what root may have of others' rights
settings = drop_privileges(os.environ)
print(json.dumps({
    "settings": settings,
    "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
    "root_again": can(os.setuid, 0),
    "writes_its_database": can(Path("prefect.db").write_text, "new"),
    "makes_files": can(Path("prefect.db-wal").touch),
    "reads_what_is_root_s": can(Path(sys.argv[1]).read_text),
}))
"""


def user(uid, name=USER):
    return pwd.struct_passwd((name, "x", uid, uid, "", "/nonexistent", "/sbin/nologin"))


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with these users, where the process runs as root or not."""

    def forbidden(*_):
        pytest.fail("the process of the tests would have become somebody else")

    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, forbidden)

    def make(*users, root=True):
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(pwd, "getpwnam", {one.pw_name: one for one in users}.__getitem__)

    return make


@pytest.fixture
def volume(tmp_path):
    """Files of a server on a volume, and a link out of it."""
    outside = tmp_path / "outside"
    outside.write_text("somebody else's")
    home = tmp_path / "volume" / "home"
    (home / "storage").mkdir(parents=True)
    for name in ("prefect.db", "storage/result"):
        (home / name).write_text("old")
    (home / "link").symlink_to(outside)
    return home


@pytest.fixture
def chowned(monkeypatch):
    """The paths that would get another owner, in order."""
    given = []

    def note(path, uid, gid, *, follow_symlinks=True):
        given.append((Path(path), uid, gid, follow_symlinks))

    monkeypatch.setattr(os, "chown", note)
    return given


def owners(folder):
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def dropped(home, api):
    """What a process reports after it dropped its privileges in that home."""
    root_s = home.parent / "root-s"
    root_s.touch(0o600)
    done = subprocess.run(
        [sys.executable, "-B", "-c", DROP, str(root_s)],
        cwd=home,
        env={"PYTHONPATH": str(DEPLOY), "PREFECT_HOME": str(home), "FLY_API_SOCKET": str(api)},
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout)


def test_root_becomes_the_user_of_the_image(machine):
    machine(user(UID))

    assert image_user() == user(UID)


@pytest.mark.parametrize(
    ("users", "root"),
    [
        pytest.param([user(UID)], False, id="we are not root"),
        pytest.param([], True, id="there is no such user"),
        pytest.param([user(1001)], True, id="somebody else has the name"),
        pytest.param([user(UID, "other")], True, id="somebody else has the number"),
    ],
)
def test_everywhere_else_we_stay_who_we_are(machine, chowned, tmp_path, users, root):
    machine(*users, root=root)

    settings = drop_privileges({"PREFECT_HOME": str(tmp_path / "home")})

    assert (settings, chowned) == ({}, [])
    assert not (tmp_path / "home").exists()


def test_the_folder_itself_is_handed_over_last(volume, chowned):
    hand_over(volume, UID, UID)

    paths = [path for path, *_ in chowned]
    assert paths[-1] == volume
    assert sorted(paths) == sorted([volume, *volume.rglob("*")])
    assert {tuple(ids) for _, *ids, _ in chowned} == {(UID, UID)}


def test_what_a_link_leads_to_is_not_handed_over(volume, chowned):
    hand_over(volume, UID, UID)

    assert (volume / "link", UID, UID, False) in chowned
    assert all(not follows for path, *_, follows in chowned if path != volume)


def test_a_folder_that_is_theirs_already_costs_one_look(volume, chowned):
    hand_over(volume, os.getuid(), os.getgid())

    assert chowned == []


def test_a_folder_that_is_not_there_is_made(tmp_path, chowned):
    hand_over(tmp_path / "volume" / "home", UID, UID)

    assert [path for path, *_ in chowned] == [tmp_path / "volume" / "home"]
    assert (tmp_path / "volume" / "home").is_dir()


@AS_ROOT
def test_a_hand_over_that_was_cut_short_is_done_at_the_next_start(volume, monkeypatch):
    chown = os.chown
    left = iter([True, True])

    def die_soon(*args, **options):
        if not next(left, False):
            raise KeyboardInterrupt
        chown(*args, **options)

    monkeypatch.setattr(os, "chown", die_soon)
    with pytest.raises(KeyboardInterrupt):
        hand_over(volume, UID, UID)
    monkeypatch.undo()
    cut_short = owners(volume)

    hand_over(volume, UID, UID)

    assert cut_short == {os.getuid(), UID}
    assert owners(volume) == {UID}
    assert (volume.parent.parent / "outside").stat().st_uid == os.getuid()


@AS_ROOT
def test_root_gives_up_being_root_for_good(volume, tmp_path):
    api = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(api))
        api.chmod(0o600)

        told = dropped(volume, api)

    assert told == {
        "settings": {"HOME": "/nonexistent"},
        "ids": [UID] * 6,
        "root_again": False,
        "writes_its_database": True,
        "makes_files": True,
        "reads_what_is_root_s": False,
    }
    assert owners(volume) == {UID}
    assert stat.S_IMODE(api.stat().st_mode) == 0o666


@AS_ROOT
def test_only_a_socket_is_opened_to_us(volume, tmp_path):
    no_socket = tmp_path / "api.sock"
    no_socket.touch(0o600)

    dropped(volume, no_socket)

    assert stat.S_IMODE(no_socket.stat().st_mode) == 0o600

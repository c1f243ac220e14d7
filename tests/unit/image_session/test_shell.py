from __future__ import annotations

import pytest

from image.errors import ImageError
from image.shell import end_of, require, shown


def test_programs_that_are_there_are_no_trouble():
    require(["buildah", "debootstrap"], find=lambda program: f"/usr/bin/{program}")


def test_missing_programs_are_named_with_their_packages_in_one_sentence():
    with pytest.raises(ImageError) as caught:
        require(["buildah", "setpriv", "unshare"], find=lambda _: None)

    assert str(caught.value) == (
        "There is no buildah and no setpriv and no unshare here; on Debian and Ubuntu, install: "
        "apt-get install --no-install-recommends buildah netavark util-linux"
    )


def test_a_command_is_shown_without_its_options_and_paths():
    argv = ["buildah", "--root", "/a/b", "--storage-driver=vfs", "build", "--quiet", "/context"]

    assert shown(argv) == "buildah build"


def test_the_end_of_a_log_begins_where_a_command_began(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\nafter\n")

    assert end_of(log, offset=len("before\n")) == "after"
    assert end_of(tmp_path / "none") == ""

"""The password of before is accepted for a while, so that a server's machines are changed one by one."""

from __future__ import annotations

import pytest

from roost_redis.passwords import FILE, GRACE_S, digest, keep_passwords

OLD, NEW, NOW = "the-old-password", "the-new-password", 1_000_000.0


def accepted(folder, password, at):
    return keep_passwords(folder, password, at).accepted(at)


def test_the_first_one_is_the_only_one(tmp_path):
    assert accepted(tmp_path, OLD, NOW) == (digest(OLD),)


def test_after_a_change_the_one_of_before_is_accepted_until_its_time_is_over(tmp_path):
    accepted(tmp_path, OLD, NOW)

    assert accepted(tmp_path, NEW, NOW + 1) == (digest(NEW), digest(OLD))
    assert accepted(tmp_path, NEW, NOW + GRACE_S) == (digest(NEW), digest(OLD)), "a restart"
    assert accepted(tmp_path, NEW, NOW + 1 + GRACE_S) == (digest(NEW),)


def test_a_change_that_is_taken_back_leaves_both_too(tmp_path):
    for password in (OLD, NEW):
        accepted(tmp_path, password, NOW)

    assert accepted(tmp_path, OLD, NOW) == (digest(OLD), digest(NEW))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"now": 1, "before": "", "until": 0}', '{"now": "x y", "before": "", "until": 0}'],
    ids=["empty", "cut off", "a list", "a number", "no digest"],
)  # fmt: skip
def test_a_file_that_cannot_be_used_counts_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)

    assert accepted(tmp_path, NEW, NOW) == (digest(NEW),)


def test_only_the_user_of_the_machine_may_read_it_and_no_password_is_in_it(tmp_path):
    keep_passwords(tmp_path, OLD, NOW)

    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert OLD not in (tmp_path / FILE).read_text()

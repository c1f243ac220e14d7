"""The locks of the sessions: one version of each package in all of them, and nothing but hashes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

LOCKS = sorted((Path(__file__).parents[2] / "requirements").glob("*.txt"))


def pins(lock):
    """Return the version of each package of a lock; a package may have one for each marker."""
    lines = lock.read_text("utf-8").splitlines()
    found = [line.removesuffix(" \\").partition("==") for line in lines if "==" in line]
    return {(name, version.partition(";")[0].strip()) for name, _, version in found}


def test_all_locks_have_the_same_version_of_a_package():
    versions = defaultdict(set)
    for lock in LOCKS:
        for name, version in pins(lock):
            versions[name].add(version)

    assert len(LOCKS) == 7
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_a_lock_has_hashes_and_no_address():
    for lock in LOCKS:
        text = lock.read_text("utf-8")

        assert text.count("==") <= text.count("--hash=sha256:")
        assert "://" not in text
        assert "--index" not in text

from __future__ import annotations

from image.base import Base
from image.report import report
from image.trial import Findings

REAL = Base("python:3.13-slim-trixie")
FINDINGS = Findings(empty_s=[6.0, 5.0, 7.0], used_s=[3.0], stop_s=[0.25], smoked=True)


def words(base=REAL, findings=FINDINGS):
    return report("roost:tag", base, ("407 MB", "184 MB"), 49.4, findings)


def test_says_what_was_built_how_big_and_how_quick_it_is():
    text = words()

    assert "roost:tag" in text
    assert "407 MB unpacked, of which the base is 184 MB" in text
    assert "49 s, every step anew" in text
    assert "smoke       passed" in text


def test_a_timing_has_its_median_and_every_measurement():
    assert "6.00 s (6.00, 5.00, 7.00) to the first 200, on an empty volume" in words()


def test_a_failed_smoke_is_told():
    failed = Findings(empty_s=[1.0], used_s=[1.0], stop_s=[1.0])

    assert "smoke       failed" in words(findings=failed)


def test_a_stand_in_says_what_is_not_proved_and_a_real_base_does_not():
    stand_in = Base("localhost/stand-in:trixie", stand_in_for="python:3.13-slim-trixie")

    assert "not the base, its Python or its size" in words(stand_in)
    assert "not the base" not in words()


def test_what_is_wrong_at_every_boot_is_told_once():
    findings = Findings()
    for _ in range(3):
        findings.blame("The server runs as user 0, not as 10001.")

    assert list(findings.faults) == ["The server runs as user 0, not as 10001."]

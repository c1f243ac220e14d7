"""Format the findings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from image.base import Base
from image.trial import Findings


def report(
    name: str, base: Base, sizes: tuple[str, str], build_s: float, findings: Findings
) -> str:
    """Return a report: the image, its size and times, and what is not proved.

    Args:
        name: The name of the image.
        base: Its base image.
        sizes: The unpacked sizes of the image and its base.
        build_s: The duration of the build in seconds.
        findings: The measurements of the trial.
    """
    rows = [
        ("image", name),
        ("base", base_line(base)),
        ("size", f"{sizes[0]} unpacked, of which the base is {sizes[1]}"),
        ("build", f"{build_s:.0f} s, every step anew"),
        ("cold start", f"{timing(findings.empty_s)} to the first 200, on an empty volume"),
        ("", f"{timing(findings.used_s)} on a used volume"),
        ("stop", f"{timing(findings.stop_s)} after SIGTERM"),
        ("smoke", "passed" if findings.smoked else "failed"),
    ]
    return "\n".join(f"{label:<11} {text}" for label, text in rows)


def base_line(base: Base) -> str:
    """Return the base's name; for a stand-in also what it proves and what not."""
    if not base.stand_in_for:
        return base.image
    return (
        f"{base.image}, made by debootstrap in place of {base.stand_in_for}: proves every step of "
        "the Dockerfile, the files, the users and the start; not the base, its Python or its size"
    )


def timing(seconds: Sequence[float]) -> str:
    """Return measurements as text: the median and all values."""
    each = ", ".join(f"{value:.2f}" for value in seconds)
    return f"{median(seconds):.2f} s ({each})"

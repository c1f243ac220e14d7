"""Run trials in interleaved rounds, so that disturbances affect all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.lab import Lab
from bench.stats import Sample


def interleaved(lab: Lab, trials: Mapping[str, Callable[[], float]]) -> dict[str, Sample]:
    """Run all trials in order, for as many rounds as the session has."""
    found: dict[str, list[float]] = {name: [] for name in trials}
    for number in range(1, lab.runs + 1):
        for name, trial in trials.items():
            value = trial()
            found[name].append(value)
            lab.tell(f"  {number}/{lab.runs} {name}: {value:.3f}")
    return {name: Sample(tuple(values)) for name, values in found.items()}

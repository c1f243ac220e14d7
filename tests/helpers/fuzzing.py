"""The number of generated examples: few and always the same by default, many more on request.

`HYPOTHESIS_PROFILE=thorough` or `./run fuzz` requests more. Nothing is kept between runs: a finding
goes into a test or into `tests/fuzz/corpus`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
FACTOR = 20


def examples(count: int) -> settings:
    """Try this many examples, and twenty times as many in the thorough profile."""
    return settings(
        max_examples=count * (FACTOR if THOROUGH else 1),
        derandomize=not THOROUGH,
        database=None,
        deadline=None,
        print_blob=True,
        # Fixtures here are a folder and a captured terminal, which examples may share.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )

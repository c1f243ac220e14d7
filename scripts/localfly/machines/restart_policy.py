"""The restart policy: whether and when a machine is restarted after its process ended.

Fly's default is `on-failure` (`no` with auto_destroy), up to 10 times in 5 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from localfly.runtime.process import Exit

Json = dict[str, Any]

WINDOW_S = 300.0
DEFAULT_RETRIES = 10
BACKOFF_S = (0.2, 1.0, 2.0, 4.0, 8.0)


def policy_of(config: Json) -> str:
    """Return the policy of a config, or Fly's default."""
    default = "no" if config.get("auto_destroy") else "on-failure"
    return (config.get("restart") or {}).get("policy") or default


@dataclass
class Restarts:
    """The restarts of one machine since its last requested start."""

    moments: list[float] = field(default_factory=list)
    """Times of the restarts, in seconds of the monotonic clock."""

    @property
    def count(self) -> int:
        """The number of restarts within the window at the last check."""
        return len(self.moments)

    def allowed(self, config: Json, ended: Exit, now: float) -> bool:
        """Return whether the policy restarts the machine; an unknown exit counts as a failure."""
        policy = policy_of(config)
        failed = ended.oom_killed or ended.exit_code != 0
        if policy == "no" or (policy == "on-failure" and not failed):
            return False
        self.moments = [moment for moment in self.moments if now - moment < WINDOW_S]
        retries = (config.get("restart") or {}).get("max_retries") or DEFAULT_RETRIES
        return policy == "always" or self.count < retries

    def next_delay_s(self, now: float) -> float:
        """Count a restart; return the delay before it in seconds."""
        delay = BACKOFF_S[min(self.count, len(BACKOFF_S) - 1)]
        self.moments.append(now)
        return delay

"""Whether what a file asks for keeps to its budget. Pure.

A plan does not know for how long a server will be awake. What is certain is the low cost, asleep all month but
for windows and machines that always run: a budget below that is passed whatever happens, which is a
warning. A budget below the high cost, awake all month, is kept up to some hours a day, which is said as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
HOURS_PER_DAY = 24.0


@dataclass(frozen=True)
class BudgetCheck:
    """A budget beside what an environment costs, with what stands beside its server; USD a month.

    Args:
        monthly_usd: the budget.
        low: asleep all month, except for machines that always run, and inside windows.
        high: awake all month.
        hours_per_day: for how many hours a day everything may be awake within it, windows included.
    """

    monthly_usd: float
    low: float
    high: float
    hours_per_day: float

    @property
    def is_passed(self) -> bool:
        """Whether it is passed even if everything sleeps that may."""
        return self.low > self.monthly_usd

    def sentence(self) -> str:
        """Return whether it is kept, for people."""
        budget = f"Budget: ${self.monthly_usd:.2f} a month"
        if self.is_passed:
            return f"{budget}, passed by at least ${self.low - self.monthly_usd:.2f}, also if it sleeps all month."
        if self.high <= self.monthly_usd:
            return f"{budget}, kept also if it never sleeps."
        return f"{budget}, kept if it is awake for at most {self.hours_per_day:.1f} h a day."

    def warning(self, name: str) -> str:
        """Return the warning about a budget that cannot be kept."""
        return (
            f"{name} costs at least ${self.low:.2f} a month, and its budget is ${self.monthly_usd:.2f}. Let it "
            "sleep more, make its machine smaller, or raise budget.monthly_usd."
        )

    def document(self) -> Json:
        """Return the JSON form, rounded to cents."""
        return {
            "monthly_usd": round(self.monthly_usd, 2),
            "low": round(self.low, 2),
            "high": round(self.high, 2),
            "hours_per_day": round(self.hours_per_day, 1),
        }

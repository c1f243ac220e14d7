"""A Fly with one changed answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from helpers.fake_fly import FakeFly


@dataclass
class Spoiler:
    """Forwards requests; `spoil` gets each answer's document and may return another one."""

    fly: FakeFly
    spoil: Callable[[int, Any], Any] | None = None
    asked: list[str] = field(default_factory=list)
    """Every request since `spoil` was set, as `VERB PATH`."""
    spoilt_at: int | None = None
    """Which of them was answered with something else than Fly said."""
    clean: FakeFly | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        answer = self.fly(request)
        self.asked.append(f"{request.method} {request.url.path}")
        if self.spoil is None or not answer.is_success or not answer.content:
            return answer
        document = json.loads(answer.content)
        other = self.spoil(len(self.asked) - 1, document)
        if other is document:
            return answer
        self.spoilt_at = len(self.asked) - 1
        content = other if isinstance(other, bytes) else json.dumps(other).encode()
        return httpx.Response(answer.status_code, content=content)

    def begin(self, spoil: Callable[[int, Any], Any] | None) -> None:
        """Begin an example: restore Fly's first state, and change answers from now on."""
        if self.clean is None:
            self.clean = copy.deepcopy(self.fly)
        self.fly = copy.deepcopy(self.clean)
        self.spoil, self.asked, self.spoilt_at = spoil, [], None

    @property
    def changes_after(self) -> list[str]:
        """Return the requests after the changed answer that change something."""
        if self.spoilt_at is None:
            return []
        return [call for call in self.asked[self.spoilt_at + 1 :] if not call.startswith("GET ")]

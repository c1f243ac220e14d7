"""What the API refuses, in Fly's form: a status code and a JSON body with `error`."""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is not a success; `word` is the body's `status`, where Fly sends one."""

    def __init__(self, status: int, error: str, word: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.word = word

    def body(self) -> dict[str, str]:
        """Return the JSON body."""
        return {"error": self.error, **({"status": self.word} if self.word else {})}


def not_found(what: str) -> ApiError:
    """Make a 404."""
    return ApiError(404, f"{what} not found")


def precondition(what: str) -> ApiError:
    """Make a 412, in the words Fly uses."""
    return ApiError(412, f"failed_precondition: {what}")

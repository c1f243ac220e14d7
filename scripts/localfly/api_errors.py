"""Errors of the API in Fly's form: a status code and a JSON body with `error`."""

from __future__ import annotations


class ApiError(Exception):
    """An error response; `word` is the body's `status`, where Fly sends one."""

    def __init__(self, status: int, error: str, word: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.word = word

    def body(self) -> dict[str, str]:
        """Return the JSON body of the response."""
        return {"error": self.error, **({"status": self.word} if self.word else {})}


def not_found(what: str) -> ApiError:
    """Return a 404 for something that does not exist."""
    return ApiError(404, f"{what} not found")


def precondition(what: str) -> ApiError:
    """Return a 412 in Fly's wording."""
    return ApiError(412, f"failed_precondition: {what}")

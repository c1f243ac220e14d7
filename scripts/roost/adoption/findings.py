"""What an import found out beside the values: guesses, losses, and what stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Collected while a file is made; each is a sentence without its full stop.

    Args:
        guesses: what is not known for certain, with the section of the file that it is about.
        losses: what the file cannot keep, and why.
        kept: what stays on the app as it is, outside of the file.
    """

    guesses: list[tuple[str, str]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def guess(self, section: str, text: str) -> None:
        """Note a guess; the file gets it as a comment above its section."""
        self.guesses.append((section, text))

    def lose(self, text: str) -> None:
        """Note something that the file cannot keep."""
        self.losses.append(text)

    def keep(self, text: str) -> None:
        """Note something that stays as it is."""
        self.kept.append(text)

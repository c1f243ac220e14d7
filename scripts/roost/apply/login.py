"""The form of the login that Prefect takes, checked before it is sent anywhere. Pure."""

from __future__ import annotations

from roost.secret_text import SecretText

_QUOTES = "\"'`"


def login_fault(value: SecretText) -> str:
    """Return what is wrong with a login, as the rest of a sentence; empty for one that works.

    No part of the value is in it. Prefect answers 500 to every call where the login is not ASCII
    (it compares with `hmac.compare_digest`), and lets nobody in whose client leaves out a line
    break or quotes that the server was given.
    """
    text = value.reveal()
    user, colon, password = text.partition(":")
    part = "password" if user.strip() else "user"
    not_ascii = "has a character that is not ASCII, with which Prefect answers 500 to every call"
    faults = (
        (any(char in "\r\n\t" for char in text), "has a line break or a tab in it"),
        (text != text.strip(), "begins or ends with white space"),
        (text.strip(_QUOTES) != text, "begins or ends with a quotation mark"),
        (not text.isascii(), not_ascii),
        (not text.isprintable(), "has a character that cannot be printed"),
        (not colon, "has no colon: its form is user:password"),
        (not user.strip() or not password.strip(), f"has no {part}: its form is user:password"),
    )
    return next((told for is_fault, told in faults if is_fault), "")

"""The last logged error is kept in one line, without any secret of the environment."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_server.last_error import LONGEST, LastError, describe, first_cause, redactor

PASSWORD = "p4ss/w@rd:of-bob"
ENVIRON = {
    "PREFECT_SERVER_API_AUTH_STRING": "admin:hunter2-of-admin",
    "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql://bob:{PASSWORD}@db.acme.internal:5432/railway",
    "prefect_server_database_password": "in-small-letters",
    "PREFECT_SERVER_DATABASE": json.dumps({"password": "in-json-p4ss", "port": 5432}),
    "PREFECT_SERVER_DATABASE_HOST": "pg.acme.internal",
    "SLACK_HOOK": "https://hooks.example.com/services/T000/B000/XXXX?sig=abcdef",
    "ACME_CERTIFICATE": "-----BEGIN-----\nMIIBsecretline\n-----END-----",
    "FLY_APP_NAME": "acme-prefect",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "ROOST_IDLE_ACTION": "stop",
    "PATH": "/opt/venv/bin",
}
SECRETS = (
    *("hunter2-of-admin", PASSWORD, quote(PASSWORD, safe=""), "db.acme.internal", "railway"),
    *("in-small-letters", "in-json-p4ss", "pg.acme.internal", "T000/B000/XXXX", "abcdef"),
    "MIIBsecretline",
)


@pytest.fixture
def last():
    """The recorder of the last error, also of loggers that were made meanwhile."""
    before = logging.getLogRecordFactory()
    found = LastError()
    found.learn_secrets(ENVIRON)
    found.watch()
    yield found
    logging.setLogRecordFactory(before)


@pytest.fixture
def logger():
    """A logger as Prefect has them, which does not propagate."""
    found = logging.getLogger("roost.tests.last_error")
    found.propagate = False
    return found


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "host={} failed", 'user "{}" is unknown', "({})"])
def test_no_secret_of_the_environment_is_in_a_text(secret, around):
    hidden = redactor(ENVIRON)(around.format(secret))

    assert secret not in hidden
    assert "[hidden]" in hidden


@given(st.text(min_size=4).filter(lambda text: text.strip() == text))
def test_whatever_a_secret_is_made_of_it_is_hidden(secret):
    # "[hidden]" itself may hold a short one.
    hidden = redactor({"ACME_HOOK": secret})(f"it said {secret!r} and {secret}")

    assert secret not in hidden.replace("[hidden]", "")


@pytest.mark.parametrize(
    "text",
    [
        "No module named 'prefect_redis'",
        "DEBUG: acme-prefect asked to stop in /opt/venv/bin",
        "bobsled and railway_station are other words",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redactor(ENVIRON)(text) == text


def test_the_last_error_is_kept_whichever_logger_tells_it(last, logger):
    logger.error("the first")
    logger.warning("no error")
    logger.error("cannot reach %s", "db.acme.internal")

    assert last.text == "cannot reach [hidden]"


def test_an_exception_is_told_with_its_first_line(last, logger):
    failure = OSError(f"no table\n[SQL: SELECT {PASSWORD}]")

    logger.error("The scheduler failed", exc_info=failure)

    assert last.text == "The scheduler failed (OSError: no table)"


def test_of_exceptions_in_a_group_the_first_is_told(last, logger):
    failure = ExceptionGroup("several", [ValueError("one"), ValueError("two")])

    logger.error("Services failed", exc_info=failure)

    assert last.text == "Services failed (ValueError: one)"


def test_a_start_that_failed_is_told_by_its_cause_and_not_by_uvicorn_s_last_line(last, logger):
    logger.error(
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\n'
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: flow\n"
        "[SQL: SELECT * FROM flow]\n"
        "(Background on this error at: https://sqlalche.me/e/20/e3q8)\n"
    )
    logger.error("Application startup failed. Exiting.")

    assert last.text == (
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: flow"
    )


def test_a_text_is_one_line_of_bounded_length_and_a_secret_at_its_cut_is_hidden(last):
    padding = "x" * (LONGEST - 6)

    text = last.redact(f"one\n\x1b[31m {padding}hunter2-of-admin")

    assert len(text) == LONGEST
    assert text.isprintable()
    assert "hunter" not in text


def test_a_record_that_does_not_fit_its_format_is_told_as_it_is():
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%d of %d", ("a",), None)

    assert describe(record) == "%d of %d"


@pytest.mark.parametrize("message", ["", "\n", "\n\n"])
def test_an_empty_message_is_none(message):
    assert first_cause(message) == ""


def test_before_it_knows_what_is_secret_it_tells_nothing():
    assert LastError().redact("hunter2") == "[hidden]"

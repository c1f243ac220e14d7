"""The book of the waker: who is due when, on a clock that is moved, set and stopped."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from roost_waker.announcement import Announcement
from roost_waker.book import (
    GIVE_UP_S,
    LAST_BACKOFF_S,
    LEAD,
    MOST_ENTRIES,
    RESERVED,
    Book,
    Counts,
)
from roost_waker.errors import FullError

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MOST = 32


def announced(app="acme", in_s=600.0):
    return Announcement(app, f"http://{app}.flycast", NOON + timedelta(seconds=in_s))


def book_of(*announcements):
    book = Book()
    for one in announcements:
        book.put(one)
    return book


def due(book, at_s, seconds=None):
    """Return the apps that are requested `at_s` seconds after noon."""
    seconds = at_s if seconds is None else seconds
    return [one.app for one in book.take_due(NOON + timedelta(seconds=at_s), seconds, MOST)]


def test_a_server_is_requested_shortly_before_its_time_and_once():
    book, lead = book_of(announced(in_s=600)), LEAD.total_seconds()

    assert due(book, 600 - lead - 0.1) == []
    assert due(book, 600 - lead) == ["acme"]
    assert due(book, 600) == []  # the request is under way


def test_each_has_its_own_time_and_the_earliest_is_first():
    book = book_of(announced("late", 500), announced("early", 100), announced("far", 5000))

    assert due(book, 480) == ["early", "late"]


def test_a_clock_that_jumps_delays_nobody():
    """A suspended machine wakes hours later: what was due meanwhile is requested at once."""
    book = book_of(announced(in_s=600), announced("other", 3600))

    assert due(book, 7200, seconds=1.0) == ["acme", "other"]


def test_a_clock_that_was_set_back_does_not_delay_the_next_attempt():
    book = book_of(announced(in_s=0))
    [one] = book.take_due(NOON, 0.0, MOST)
    book.failed(one, "timed out", 0.0)

    assert due(book, -20, seconds=LAST_BACKOFF_S) == ["acme"]


def test_a_newer_time_replaces_the_older_one():
    book = book_of(announced(in_s=600), announced(in_s=6000))

    assert due(book, 700) == []
    assert book.counts(NOON).entries == 1


def test_a_withdrawal_ends_it():
    book = book_of(announced(in_s=600))
    book.put(Announcement("acme", "http://acme.flycast", None))
    book.put(Announcement("never-was", "http://never-was.flycast", None))

    assert due(book, 700) == []
    assert book.all() == {}


def test_a_server_that_answered_is_struck_out():
    book = book_of(announced(in_s=0))
    [one] = book.take_due(NOON, 0.0, MOST)

    assert book.woke(one, NOON)
    assert book.counts(NOON) == Counts(entries=0, late=0, woken=1, given_up=0)


def test_a_server_that_answered_early_is_requested_once_more_at_its_time():
    """Somebody may suspend it before its run starts; awake again, it says nothing that is new."""
    book = book_of(announced(in_s=45))
    [one] = book.take_due(NOON, 0.0, MOST)

    assert not book.woke(one, NOON + timedelta(seconds=5))
    assert due(book, 44) == []
    assert due(book, 45) == ["acme"]
    assert book.woke(one, NOON + timedelta(seconds=46))
    assert book.counts(NOON) == Counts(entries=0, late=0, woken=1, given_up=0)


def test_what_was_announced_while_it_was_woken_stays():
    book = book_of(announced(in_s=0))
    [one] = book.take_due(NOON, 0.0, MOST)
    book.put(announced(in_s=6000))

    assert not book.woke(one, NOON)
    assert not book.failed(one, "late news", 0.0)
    assert due(book, 5999) == ["acme"]


def test_a_repeated_announcement_does_not_begin_a_second_request():
    book = book_of(announced(in_s=0))
    assert due(book, 0) == ["acme"]
    book.put(announced(in_s=0))

    assert due(book, 1) == []


def test_failures_are_repeated_with_longer_pauses_and_given_up_after_an_hour():
    book, now, begun = book_of(announced(in_s=0)), 0.0, []
    while book.all():
        for one in book.take_due(NOON, now, MOST):
            begun.append(now)
            book.failed(one, "timed out", now)
        now += 1.0
    pauses = [after - before for before, after in itertools.pairwise(begun)]

    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST_BACKOFF_S
    assert GIVE_UP_S <= begun[-1] < GIVE_UP_S + LAST_BACKOFF_S
    assert book.counts(NOON).given_up == 1


def test_the_number_of_servers_is_limited_and_known_ones_may_change_theirs():
    book = book_of(*(announced(f"app-{n}") for n in range(MOST_ENTRIES)))

    with pytest.raises(FullError):
        book.put(announced("one-more"))
    book.put(announced("app-7", 1.0))
    assert due(book, 0) == ["app-7"]


def test_only_as_many_are_begun_as_there_is_room_for():
    book = book_of(*(announced(f"app-{n}", n) for n in range(5)))

    assert [one.app for one in book.take_due(NOON, 0.0, 2)] == ["app-0", "app-1"]
    assert [one.app for one in book.take_due(NOON, 0.0, 2)] == ["app-2", "app-3"]
    assert book.take_due(NOON, 0.0, 0) == []


def test_overdue_ones_are_counted():
    assert book_of(announced(in_s=-1), announced("b", 5)).counts(NOON).late == 1


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
def test_no_time_that_can_be_announced_ends_the_looks(at):
    """It would end those of every start, as it stands in the metadata."""
    book = book_of(Announcement("acme", "http://acme.flycast", datetime.fromisoformat(at)))

    assert due(book, 0) == (["acme"] if at.startswith("0") else [])
    assert book.counts(NOON).entries == 1


def test_the_waker_itself_has_room_in_a_full_book():
    book = Book(own="acme-waker")
    for number in range(MOST_ENTRIES):
        book.put(announced(f"app-{number}"))

    book.put(announced("acme-waker"))

    assert book.announced("acme-waker")
    with pytest.raises(FullError):
        book.put(announced("one-more"))


def test_servers_that_hang_leave_room_for_one_that_was_not_asked_yet():
    book, slots = book_of(*(announced(f"hangs-{number}", 0) for number in range(40))), 32
    for one in book.take_due(NOON, 0.0, slots):
        book.failed(one, "timed out", 0.0)
    book.put(announced("healthy", 30))

    taken = [one.app for one in book.take_due(NOON, LAST_BACKOFF_S, slots)]

    assert "healthy" in taken
    assert len(taken) <= slots - RESERVED + 8  # eight of the first forty were not asked yet

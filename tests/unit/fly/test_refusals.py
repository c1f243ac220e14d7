"""What Fly's refusals become: one class per cause, Fly's words, the request id, and advice."""

from __future__ import annotations

import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fly_answers import TOKEN, ask, says
from roost import errors
from roost.errors.command import bare
from roost.fly.refusals import refusal
from roost.http.messages import MAX_MESSAGE
from roost.secret_text import HIDDEN, SecretText

SECRET = 'pass"word\n\\ü/long'


def refused(status, body, call=lambda f: f.list_machines("a"), **headers):
    return ask(call, says(status, body, **headers))[0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.FlyRejectedError),
        (401, errors.FlyUnauthorizedError),
        (403, errors.FlyForbiddenError),
        (404, errors.FlyNotFoundError),
        (408, errors.FlyWaitTimeoutError),
        (409, errors.FlyConflictError),
        (412, errors.FlyPreconditionError),
        (422, errors.FlyRejectedError),
        (429, errors.FlyRateLimitedError),
        (500, errors.FlyUnavailableError),
        (501, errors.FlyUnavailableError),
        (503, errors.FlyUnavailableError),
        (418, errors.FlyError),
        (302, errors.FlyError),
    ],
)
def test_every_refusal_has_its_class_words_place_id_and_advice(status, kind):
    error = refused(status, {"error": "this is why"}, fly_request_id="01J-iad")

    assert type(error) is kind
    assert (error.status, error.body, error.request_id) == (status, "this is why", "01J-iad")
    assert error.where == "GET /apps/a/machines"
    assert error.advice
    for part in ("this is why", str(status), error.where, error.advice, "01J-iad"):
        assert part in error.message
    assert str(error) == bare(error.message)


def test_every_class_of_error_has_a_word_of_its_own():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    words = [kind.word for kind in kinds if issubclass(kind, errors.RoostError)]

    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (
            412,
            {"error": "insufficient resources to create new machine with existing volume"},
            "snapshot",
        ),
        (
            409,
            {
                "error": "aborted: could not reserve resource for machine: insufficient memory available to fulfill request"
            },
            "snapshot",
        ),
        (409, {"error": "x", "status": "volume_placement_capacity"}, "snapshot"),
        (500, {"message": "deploys to this host are temporarily disabled"}, "snapshot"),
        (400, {"error": "no capacity"}, "another region"),
        (403, {"error": "you are over the allowed quota for this region"}, "another region"),
        (422, {"error": "x", "status": "insufficient_capacity"}, "another region"),
        (503, b"Insufficient CPU", "another region"),
    ],
)
def test_capacity_is_known_by_the_body_whatever_the_status(status, body, advice):
    error = refused(status, body, lambda f: f.create_machine("a", "n", "iad", {}))

    assert isinstance(error, errors.FlyCapacityError)
    assert advice in error.advice


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("machine ID 1 lease currently held by a@b.c, expires at ...", errors.FlyLeasedError),
        ("failed to acquire lease: machine is leased", errors.FlyLeasedError),
        ("Name has already been taken", errors.FlyConflictError),
        ("there is a release of that name", errors.FlyConflictError),
        ("insufficient memory available, lease or not", errors.FlyCapacityError),
    ],
)
def test_the_three_kinds_of_409_are_told_apart(said, kind):
    assert type(refused(409, {"error": said})) is kind


def test_a_rate_limit_is_no_capacity():
    assert isinstance(refused(429, {"error": "no capacity left"}), errors.FlyRateLimitedError)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "first", "error": "second"}, "first"),
        ({"error": "only"}, "only"),
        ({"other": 1}, '{"other":1}'),
        (b"<html>\n  Bad\tgateway </html>", "<html> Bad gateway </html>"),
        (b'{"error": "trunc', '{"error": "trunc'),
        (b"[1, 2]", "[1, 2]"),
        (b"", "Bad Request"),
        (b"x" * 5000, "x" * MAX_MESSAGE),
        (b"red \x1b[31m \x00", "red ?[31m ?"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": "\\ud800"}', "?"),
        (b"[" * 100_000, "[" * MAX_MESSAGE),
        ({"error": {"nested": True}}, '{"error":{"nested":true}}'),
    ],
)
def test_bodies_of_any_shape_give_a_short_printable_line(body, said):
    assert refused(400, body).body == said


@given(st.integers(300, 599), st.binary(max_size=200), st.sampled_from(["", "hex", "utf-16", "x"]))
def test_no_answer_breaks_the_client(status, content, charset):
    response = says(status, content, content_type=f"text/plain; charset={charset}")

    error = refusal(response, "GET /", ())

    assert error.body.isprintable()
    str(error).encode()


@pytest.mark.parametrize(
    "echo",
    [
        {"error": f"cannot set {SECRET}"},
        {"request": {"values": {"A": SECRET}}},
        {"message": json.dumps({"values": {"A": SECRET}})},
        json.dumps({"values": {"A": SECRET}}, ensure_ascii=False)[:-2].encode(),
        SECRET.encode(),
    ],
    ids=["message", "whole-body", "json-in-message", "truncated", "plain"],
)
def test_a_secret_that_fly_echoes_is_taken_out(echo):
    values = {"A": SecretText(SECRET), "B": None}
    error = refused(422, echo, lambda f: f.set_secrets("a", values))

    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert HIDDEN in str(error)
    assert "pass" not in shown
    assert "/long" not in shown


@pytest.mark.parametrize("echo", [TOKEN, f"FlyV1 {TOKEN}", f"Authorization: {TOKEN}, x"])
@pytest.mark.parametrize("token", [TOKEN, f"FlyV1 {TOKEN}", f"FlyV1 {TOKEN},fm2_another-one"])
def test_a_token_that_fly_echoes_is_taken_out(echo, token):
    error, _ = ask(
        lambda f: f.list_machines("a"), says(401, {"error": echo}), token=SecretText(token)
    )

    assert TOKEN not in "".join(traceback.format_exception(error)) + repr(vars(error))
    assert HIDDEN in str(error)


def test_a_token_of_a_plain_word_does_not_blot_out_what_fly_says():
    said = "not known to the local Fly"
    token = SecretText("local")

    error, _ = ask(lambda f: f.list_machines("a"), says(400, {"error": said}), token=token)

    assert error.body == said


def test_a_secret_is_taken_out_before_the_message_is_cut():
    filler = "x" * (MAX_MESSAGE - 4)
    error = refused(
        422, {"error": filler + SECRET}, lambda f: f.set_secrets("a", {"A": SecretText(SECRET)})
    )

    assert "pass" not in error.body

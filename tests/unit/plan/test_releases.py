"""What a machine remembers of its releases: read as written, bounded, and never without a way back."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.environments import POSTGRES, environment_file, environments
from helpers.histories import CLEARED, FAILED, GOOD, PENDING, History, desired_of, level
from helpers.pretend_fly import applied
from roost.fly.models import Machine, SecretInfo
from roost.plan.desired import VERSION_KEY
from roost.plan.desired_state import desired_state
from roost.plan.live import Live
from roost.plan.releases import (
    KEPT,
    Release,
    Verdict,
    current,
    decode,
    draft,
    failed_like,
    kept,
    last_good,
    record_patch,
    releases_on,
    snapshot_before,
    with_records,
    without_records,
)
from roost.plan.releases import (
    desired_of as desired_of_release,
)
from roost.prefect.versions import Version

IMAGE = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
RELEASE = Release(1, "iad", {"image": IMAGE, "metadata": {VERSION_KEY: "3.8.8"}}, 1)
TEXTS = st.text(max_size=20)
VERDICTS = st.sampled_from(Verdict)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def releases(draw):
    desired = desired_state(environment_file(draw(environments(12))), IMAGE)
    release = draft(desired, Live(), ())
    if release is None:
        release = RELEASE
    return replace(
        release,
        number=draw(st.integers(1, 10**9 - 1)),
        verdict=draw(VERDICTS),
        secrets=draw(TEXTS),
        git=draw(TEXTS),
        at=draw(TEXTS),
        snapshot=draw(TEXTS),
        back_to=draw(st.integers(0, 99)),
        why=draw(st.text(max_size=500)),
    )


def histories(verdicts=VERDICTS):
    """Return releases that follow each other."""
    made = st.lists(verdicts, max_size=3 * KEPT)
    return made.map(
        lambda found: tuple(replace(RELEASE, number=n, verdict=v) for n, v in enumerate(found, 1))
    )


def machine(metadata, key="m1"):
    return Machine(id=key, config={"metadata": metadata})


def recorded(*found, **others):
    """The metadata of a machine that remembers these releases."""
    return with_records({"metadata": others}, found)["metadata"]


@given(releases())
def test_a_record_is_read_as_it_was_written(release):
    assert decode(release.encoded()) == release


@given(JSON.map(json.dumps) | st.text())
def test_what_is_no_record_is_read_as_none(text):
    assert decode(text) is None


@given(st.data())
def test_a_record_with_a_field_of_anything_else_is_a_record_or_none(data):
    fields = json.loads(RELEASE.encoded())
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(JSON)

    found = decode(json.dumps(fields))

    assert found is None or decode(found.encoded()) == found


def packed(config):
    return base64.b64encode(zlib.compress(config)).decode()


@pytest.mark.parametrize(
    "config",
    [
        "not base64!",
        base64.b64encode(b"not packed").decode(),
        packed(b"not json"),
        packed(b"[]"),
        packed(b"{}"),
        packed(b'{"metadata": []}'),
        packed(b"[" * 2**19),
        packed(b'{"metadata": {"roost_prefect_version": "%s"}}' % (b"0" * 2**21)),
    ],
    ids=["base64", "zlib", "json", "list", "empty", "metadata", "depth", "bomb"],
)
def test_a_config_that_nobody_could_put_back_makes_a_record_none(config):
    assert decode(json.dumps({**json.loads(RELEASE.encoded()), "config": config})) is None


def test_a_field_that_a_later_roost_adds_is_passed_over():
    fields = {**json.loads(RELEASE.encoded()), "colour": "red"}

    assert decode(json.dumps(fields)) == RELEASE


@given(histories())
def test_of_many_releases_the_newest_are_kept_and_the_last_good_one_always_is(found):
    stays = kept(found)

    assert stays[-KEPT:] == found[-KEPT:]
    assert last_good(stays) == last_good(found)
    assert current(stays) == current(found)
    assert len(stays) <= KEPT + 1


@given(histories())
def test_releases_made_one_after_the_other_never_lose_the_way_back(found):
    metadata = {}
    for count, release in enumerate(found, 1):
        before = releases_on([machine(metadata)])
        metadata = recorded(*before, release)
        assert last_good(releases_on([machine(metadata)])) == last_good(found[:count])


@given(histories())
def test_records_are_found_on_their_machine_and_others_metadata_stays(found):
    metadata = recorded(*found, fly_release_id="somebody-elses")

    assert releases_on([machine(metadata)]) == kept(found)
    assert without_records(metadata) == {"fly_release_id": "somebody-elses"}


@given(histories(), VERDICTS)
def test_a_record_written_by_itself_leaves_no_more_than_are_kept(found, verdict):
    before = recorded(*found, fly_release_id="somebody-elses")
    new = replace(RELEASE, number=len(found) + 1, verdict=verdict)

    patched = {**before, **record_patch(before, new)}

    assert {k: v for k, v in patched.items() if v} == recorded(
        *found, new, fly_release_id="somebody-elses"
    )


@pytest.mark.parametrize("key", ["roost_release_2", "roost_release_0", "roost_release_01"])
def test_a_record_under_a_key_that_is_not_its_own_is_none(key):
    assert releases_on([machine({key: RELEASE.encoded()})]) == ()


def test_a_false_record_does_not_push_the_last_good_one_out():
    metadata = {**recorded(RELEASE), "roost_release_99": replace(RELEASE, number=7).encoded()}

    assert releases_on([machine(metadata)]) == (RELEASE,)


@pytest.mark.parametrize(
    ("here", "there", "counts"),
    [
        (PENDING, GOOD, GOOD),
        (FAILED, PENDING, FAILED),
        (FAILED, CLEARED, CLEARED),
        (CLEARED, FAILED, CLEARED),
    ],
)
def test_of_a_verdict_that_reached_some_machines_the_later_one_counts(here, there, counts):
    machines = [machine(recorded(RELEASE.with_verdict(verdict))) for verdict in (here, there)]

    assert [release.verdict for release in releases_on(machines)] == [counts]


def test_the_newest_record_of_one_release_stays_on_its_machine():
    assert recorded(RELEASE, RELEASE.with_verdict(GOOD)) == recorded(RELEASE.with_verdict(GOOD))


def test_the_reason_of_a_failure_is_kept_short():
    assert len(RELEASE.with_verdict(FAILED, "x" * 10_000).why) <= 400


def test_the_first_release_is_number_one_and_each_next_one_more():
    desired = desired_of()

    assert draft(desired, Live(), ()).number == 1
    assert draft(desired, Live(), (replace(RELEASE, number=41),)).number == 42
    assert draft(desired_of(POSTGRES, scaling={"count": 0}), Live(), ()) is None


def test_releases_that_would_fare_alike_have_one_identity():
    """The volume of a mount is known only once it is there, and metadata is ours."""
    first = draft(desired_of(), applied(desired_of()), ())
    config = {**first.config, "mounts": [{"volume": "vol_1"}], "metadata": {VERSION_KEY: "1.0.0"}}

    assert replace(first, number=9, config=config).identity == first.identity


def test_another_setting_image_or_value_of_a_secret_is_another_identity():
    first = draft(level("INFO"), applied(level("INFO")), ())
    others = [
        draft(level("DEBUG"), applied(level("DEBUG")), ()),
        draft(level("INFO", "3.8.7"), applied(level("INFO")), ()),
        first.with_secrets([SecretInfo(name="A", digest="another")]),
    ]

    assert len({release.identity for release in (first, *others)}) == 4


def test_a_release_differs_from_another_in_what_goes_back_with_it():
    first = draft(level("INFO"), applied(level("INFO")), ())

    assert first.with_secrets([]).setup == first.setup
    assert replace(first, machines=3).setup != first.setup
    assert draft(level("DEBUG"), applied(level("INFO")), ()).setup != first.setup


@pytest.mark.parametrize(
    ("verdicts", "refused"),
    [
        ((FAILED,), 1),
        ((FAILED, CLEARED), 0),
        ((CLEARED, FAILED), 2),
        ((FAILED, GOOD), 0),
        ((FAILED, PENDING), 0),
    ],
)
def test_a_failure_counts_until_it_is_cleared_or_the_same_was_sent_again(verdicts, refused):
    found = [replace(RELEASE, number=n, verdict=v) for n, v in enumerate(verdicts, 1)]

    failed = failed_like(found, RELEASE.identity)

    assert (failed.number if failed else 0) == refused
    assert failed_like(found, "another") is None


def after(*found):
    """Releases of these versions, verdicts and snapshots."""
    return tuple(
        replace(
            RELEASE,
            number=number,
            verdict=verdict,
            snapshot=snapshot,
            config={"metadata": {VERSION_KEY: version}},
        )
        for number, (version, verdict, snapshot) in enumerate(found, 1)
    )


@pytest.mark.parametrize(
    ("found", "snapshot"),
    [
        ([("3.7.8", GOOD, "")], ""),
        ([("3.7.8", GOOD, ""), ("3.8.8", GOOD, "vs_1")], "vs_1"),
        ([("3.7.8", GOOD, ""), ("3.8.8", GOOD, "vs_1"), ("3.9.0", GOOD, "vs_2")], "vs_1"),
        (
            [
                ("3.7.8", GOOD, ""),
                ("3.8.8", FAILED, "vs_1"),
                ("3.7.8", GOOD, ""),
                ("3.8.8", GOOD, "vs_2"),
            ],
            "vs_2",
        ),
        ([("3.7.8", GOOD, ""), ("3.8.8", GOOD, ""), ("3.8.8", GOOD, "vs_2")], "vs_2"),
    ],
)
def test_the_snapshot_from_before_an_upgrade_is_the_one_that_was_made_for_it(found, snapshot):
    assert snapshot_before(after(*found), Version(3, 7, 8)) == snapshot


def test_putting_a_release_back_gives_its_machines_and_all_else_of_the_file():
    before = desired_of(POSTGRES, scaling={"count": 2}, machine={"memory_mb": 1024})
    now = desired_of(POSTGRES, organization="acme", prune=True)
    release = History().went(before).releases[0]

    back = desired_of_release(release, now, back=True)

    assert back.machines == before.machines
    assert replace(back, machines=now.machines) == now


@pytest.mark.parametrize("public", [True, False])
def test_who_reaches_a_server_is_the_files_word_whatever_is_put_back(public):
    """A server that was made private is not opened to the internet by a failure."""
    before = desired_of(access={"public": not public}, scaling={"idle_after": "1h"})
    now = desired_of(access={"public": public})
    release = History().went(before).releases[0]

    back = desired_of_release(release, now)

    [was], [asked], [found] = before.machines, now.machines, back.machines
    assert found.config["services"][0]["ports"] == asked.config["services"][0]["ports"]
    assert found.config["env"] == was.config["env"]
    assert back.ip_types == now.ip_types
    assert release.config == before.machines[0].config | {"metadata": release.config["metadata"]}


@pytest.mark.parametrize(("parts", "goes"), [((), True), ((POSTGRES,), False)])
def test_only_on_a_volume_is_the_database_of_before(parts, goes):
    desired = desired_of(*parts)
    release = History().went(desired).releases[0]

    assert desired_of_release(release, desired, back=True).back is goes
    assert desired_of_release(release, desired, back=False).back is False

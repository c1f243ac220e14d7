"""Paths and addresses of a machine are rewritten to those of this computer."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from localfly.runtime.path_mapping import PathMapping

ROOT = PathMapping(
    paths={
        "/data": "/host/vol",
        "/data/deep": "/host/deep",
        "/tmp": "/s/tmp",
        "/.fly/api": "/s/api",
    },
    address="127.70.1.2",
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/data", "/host/vol"),
        ("/data/", "/host/vol/"),
        ("/data/prefect.db", "/host/vol/prefect.db"),
        ("/data/deep/x", "/host/deep/x"),
        ("/data/deeper", "/host/vol/deeper"),
        ("/tmp/prefect", "/s/tmp/prefect"),
        ("/.fly/api", "/s/api"),
        ("sqlite+aiosqlite:////data/prefect.db", "sqlite+aiosqlite:////host/vol/prefect.db"),
        ("sqlite:////data/a.db?mode=ro", "sqlite:////host/vol/a.db?mode=ro"),
        ("file:///data/x", "file:///host/vol/x"),
        ("unix:///.fly/api", "unix:///s/api"),
        ("/data/a:/tmp/b:/data", "/host/vol/a:/s/tmp/b:/host/vol"),
        ("--dir=/data --tmp=/tmp", "--dir=/host/vol --tmp=/s/tmp"),
        ('{"path": "/data/x", "other": "/tmp"}', '{"path": "/host/vol/x", "other": "/s/tmp"}'),
        ("/data,/data", "/host/vol,/host/vol"),
    ],
)
def test_a_path_of_the_machine_is_found_wherever_it_stands(value, expected):
    assert ROOT.rewrite(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "data",
        "/database",
        "/data.db",
        "/data-old/x",
        "/var/data",
        "./data",
        "../data",
        "$HOME/data",
        "${HOME}/data",
        "~/data",
        "https://data/x",
        "https://example.com/data/x",
        "http://localhost:4200/data",
        "http://[::1]/data",
        "sqlite:///data/relative.db",
        "/DATA",
        "//data/x",
    ],
)
def test_what_only_looks_like_one_stays(value):
    assert ROOT.rewrite(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.0.0.0", "127.70.1.2"),
        ("::", "127.70.1.2"),
        ("[::]", "127.70.1.2"),
        ("0.0.0.0:4200", "127.70.1.2:4200"),
        ("[::]:4200", "127.70.1.2:4200"),
        ("--host=0.0.0.0", "--host=127.70.1.2"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0", "10.0.0.0"),
        ("::1", "::1"),
        ("a::b", "a::b"),
    ],
)
def test_every_address_is_the_machines_own(value, expected):
    assert ROOT.rewrite(value) == expected


APPS = PathMapping(paths={"/api": "/host"}, address="127.1.1.1", ports={"acme": 9001, "b-2": 9002})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://acme.fly.dev", "http://127.0.0.1:9001"),
        ("https://acme.fly.dev/api", "http://127.0.0.1:9001/api"),
        ("https://acme.fly.dev:443/api?x=1", "http://127.0.0.1:9001/api?x=1"),
        ("http://b-2.flycast", "http://127.0.0.1:9002"),
        ("http://b-2.flycast:80/api", "http://127.0.0.1:9002/api"),
    ],
)
def test_the_address_of_an_app_is_that_of_its_proxy(value, expected):
    assert APPS.rewrite(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "https://unknown.fly.dev/api",
        "https://acme.fly.dev.example.com",
        "https://acme.fly.developer",
        "https://acme.fly.dev:8443/api",
        "http://acme.fly.dev",
        "https://acme.flycast",
        "http://acme.flycast:4200/api",
        "see https://acme.fly.dev",
        "acme.flycast",
    ],
)
def test_what_only_looks_like_the_address_of_an_app_stays(value):
    assert APPS.rewrite(value) == value


def test_what_was_put_in_is_not_rewritten_again():
    root = PathMapping(
        paths={"/data": "/tmp/volumes/data", "/tmp": "/tmp/scratch"}, address="127.1.1.1"
    )

    assert root.rewrite("/data/x:/tmp/y") == "/tmp/volumes/data/x:/tmp/scratch/y"


def test_a_mount_may_be_written_with_a_slash_at_its_end_and_its_target_hold_anything():
    assert PathMapping({"/data/": r"/a b\1"}, "127.1.1.1").rewrite("/data/x") == r"/a b\1/x"


def test_the_root_itself_is_never_a_prefix():
    assert PathMapping({"/": "/host"}, "127.1.1.1").rewrite("/etc/hosts") == "/etc/hosts"


def test_names_of_variables_stay():
    assert ROOT.rewrite_all({"/data": "/data", "X": "y"}) == {"/data": "/host/vol", "X": "y"}


@given(st.text(alphabet="/datmpx. =", max_size=30))
def test_a_value_without_a_path_of_the_machine_stays(value):
    assume("/data" not in value)
    assume("/tmp" not in value)

    assert ROOT.rewrite(value) == value


@given(
    st.lists(st.sampled_from(["/data", "/data/x", "/tmp", "/etc", "word", "/database"]), min_size=1)
)
def test_each_word_of_a_list_is_rewritten_by_itself(words):
    assert ROOT.rewrite(" ".join(words)) == " ".join(ROOT.rewrite(word) for word in words)


NAMED = PathMapping(paths={}, address="127.70.1.2", machines={"acme-redis": "127.80.1.1"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("acme-redis.internal", "127.80.1.1"),
        ("acme-redis.internal:6379", "127.80.1.1:6379"),
        ("redis://default:p%40w@acme-redis.internal:6379/0", "redis://default:p%40w@127.80.1.1:6379/0"),
        ("http://acme-redis.internal/a?b=c", "http://127.80.1.1/a?b=c"),
        ("other.internal:6379", "other.internal:6379"),
        ("top1.acme-redis.internal", "top1.acme-redis.internal"),
        ("see acme-redis.internal", "see acme-redis.internal"),
        ("acme-redis.internal.example.com", "acme-redis.internal.example.com"),
    ],
)  # fmt: skip
def test_the_name_of_an_app_s_machines_becomes_the_address_of_one(value, expected):
    assert NAMED.rewrite(value) == expected

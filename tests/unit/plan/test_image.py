"""An image's tag is the hash of its parts: the same for the same parts, another for any other."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import MissingLockError
from roost.plan.image import image_reference, image_tag, is_our_image, read_image_parts

PARTS = (("image.json", b"{}"), ("server.py", b"print()"))


@pytest.fixture
def deploy(tmp_path):
    spec = {"lock": "locks/prefect-{version}.txt", "files": ["server.py", "roost_server/"]}
    (tmp_path / "image.json").write_text(json.dumps(spec))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "server.py").write_text("print()\n")
    for name in ("prefect-3.8.7.txt", "prefect-3.8.8.txt"):
        (tmp_path / "locks").mkdir(exist_ok=True)
        (tmp_path / "locks" / name).write_text(name)
    package = tmp_path / "roost_server"
    (package / "deep").mkdir(parents=True)
    (package / "b.py").write_text("b")
    (package / "a.py").write_text("a")
    (package / "deep" / "c.py").write_text("c")
    return tmp_path


def test_the_tag_is_the_version_and_12_hex_digits_over_the_parts_with_their_lengths():
    hashed = b"".join(
        len(piece).to_bytes(8, "big") + piece
        for piece in (b"image.json", b"{}", b"server.py", b"print()")
    )

    assert image_tag("3.8.8", PARTS) == f"prefect-3.8.8-{hashlib.sha256(hashed).hexdigest()[:12]}"


def test_the_reference_is_in_the_app_s_own_registry():
    assert image_reference("acme", "3.8.8", PARTS).startswith("registry.fly.io/acme:prefect-3.8.8-")


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=4), st.data())
def test_moving_a_byte_from_one_part_to_another_makes_another_tag(parts, data):
    """Lengths are part of the hash, so no two lists of parts run together."""
    others = data.draw(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=4))

    assert (image_tag("1.0.0", parts) == image_tag("1.0.0", others)) == (parts == others)


def test_parts_are_read_in_a_fixed_order(deploy):
    names = [name for name, _ in read_image_parts(deploy, "3.8.8")]

    assert names == [
        "image.json",
        "Dockerfile",
        "locks/prefect-3.8.8.txt",
        "server.py",
        "roost_server/a.py",
        "roost_server/b.py",
        "roost_server/deep/c.py",
    ]


def test_what_python_caches_is_no_part(deploy):
    before = read_image_parts(deploy, "3.8.8")
    cache = deploy / "roost_server" / "__pycache__"
    cache.mkdir()
    (cache / "a.cpython-311.pyc").write_bytes(b"x")
    (deploy / "roost_server" / "stray.pyc").write_bytes(b"x")

    assert read_image_parts(deploy, "3.8.8") == before


def test_an_edit_of_any_part_is_another_image(deploy):
    tags = {image_tag("3.8.8", read_image_parts(deploy, "3.8.8"))}
    for name in ("Dockerfile", "server.py", "roost_server/deep/c.py", "locks/prefect-3.8.8.txt"):
        (deploy / name).write_text("edited")
        tags.add(image_tag("3.8.8", read_image_parts(deploy, "3.8.8")))

    assert len(tags) == 5


def test_the_lock_of_another_version_is_no_part(deploy):
    before = read_image_parts(deploy, "3.8.8")
    (deploy / "locks" / "prefect-3.8.7.txt").write_text("edited")

    assert read_image_parts(deploy, "3.8.8") == before


def test_a_lock_of_ones_own_takes_the_place_of_the_version_s(deploy):
    plain = read_image_parts(deploy, "3.8.8")
    own = read_image_parts(deploy, "3.8.8", b"own")

    assert dict(own) == {**dict(plain), "locks/prefect-3.8.8.txt": b"own"}
    assert [name for name, _ in own] == [name for name, _ in plain]
    assert image_tag("3.8.8", own) != image_tag("3.8.8", plain)
    assert read_image_parts(deploy, "3.8.8", None) == plain


def test_a_version_without_a_lock_names_those_that_have_one_and_the_command(deploy):
    with pytest.raises(MissingLockError) as caught:
        read_image_parts(deploy, "3.9.0")

    assert "3.8.7, 3.8.8" in caught.value.what
    assert "./run lock 3.9.0" in caught.value.advice


def test_our_images_are_known_by_their_reference():
    assert is_our_image(image_reference("acme-prefect", "3.8.8", PARTS))


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "docker.io/prefecthq/prefect:3.8.8-python3.12",
        "registry.fly.io/acme-prefect:latest",
        "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab@sha256:0",
        "registry.fly.io/a/b:prefect-3.8.8-0123456789ab",
    ],
)
def test_any_other_image_is_not_ours(reference):
    assert not is_our_image(reference)

"""The local Fly for tests: one small image, built once, and daemons that leave nothing behind."""

from __future__ import annotations

import itertools

import pytest

from helpers.local_daemon import REF, LocalDaemon, write_parts
from helpers.small_server import SmallSite, build_small_server


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory):
    """A cache that has the small image."""
    folder = tmp_path_factory.mktemp("localfly")
    parts = write_parts(folder / "parts")
    builder = LocalDaemon(folder / "home", folder / "cache")
    done = builder.command("image", "build", str(parts), "--version", "1", "--ref", REF)
    assert done.returncode == 0, done.stderr
    return folder / "cache"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, image_cache):
    """A running daemon that the tests of a module share; each uses an app of its own."""
    found = LocalDaemon(tmp_path_factory.mktemp("shared") / "home", image_cache)
    try:
        yield found.start()
    finally:
        found.clean()


@pytest.fixture
def own_daemon(tmp_path, image_cache):
    """A running daemon of a test's own, to be killed and started again."""
    found = LocalDaemon(tmp_path / "home", image_cache)
    try:
        yield found.start()
    finally:
        found.clean()


_numbers = itertools.count(1)


@pytest.fixture
def app(daemon):
    """The path of a new app on the shared daemon."""
    return daemon.new_app(f"app-{next(_numbers)}")


@pytest.fixture(scope="session")
def small_server(tmp_path_factory, image_cache):
    """The image of the small server, in the cache that daemons have."""
    build_small_server(tmp_path_factory.mktemp("small") / "parts", image_cache)


@pytest.fixture
def site(tmp_path, daemon, small_server):  # noqa: ARG001 - the image must be there
    """An environment of the test's own, on the shared daemon."""
    return SmallSite(tmp_path / "roost", daemon, f"site-{next(_numbers)}")


@pytest.fixture
def own_site(tmp_path, own_daemon, small_server):  # noqa: ARG001 - the image must be there
    """An environment on a daemon of the test's own, to be killed and started again."""
    return SmallSite(tmp_path / "roost", own_daemon, "own-site")

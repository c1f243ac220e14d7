"""What all tests share: golden files, examples of hypothesis, garbage collection, and who runs which test.

`pytest --update-golden` writes every golden file anew; look at the difference before you commit it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from helpers.fuzzing import FACTOR, THOROUGH
from helpers.leftovers import kill_leftovers, mark_run
from helpers.scheduling import GroupScheduling, group_of

LONGEST_ID = 60
YOUNG_OBJECTS = 10_000
"""So many new objects before garbage is looked for, in place of Python's 700."""

# The same examples on every computer and in every run, and no folder of them in the checkout. No deadline for one
# example either: on a busy computer it fails a test that is right.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", max_examples=100 * FACTOR, database=None, deadline=None)
settings.load_profile("thorough" if THOROUGH else "same")


RUN = mark_run()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden files be written anew."""
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the collected tests: a worker holds ten thousand, and all are needed.

    Otherwise a tenth of a worker's time is spent on looking through them again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Keep those tests on one worker that share what is slow to start, where no mark says so already."""
    for item in items:
        if not item.get_closest_marker("xdist_group") and (group := group_of(item)):
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(trylast=True)  # after xdist has ended its workers
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test left a process behind."""
    if hasattr(session.config, "workerinput"):
        return
    for left in kill_leftovers(RUN):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(
                f"\nA process was left running, and is killed now: {left}", red=True
            )


@pytest.hookimpl(optionalhook=True)  # a part of the tests may run without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling | None:
    """Share tests by groups, in an order that keeps the cores in use."""
    if config.getoption("dist") != "loadgroup":
        return None
    return GroupScheduling(config, log)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a long example by its beginning: some are megabytes, and each report carries the name."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return ascii(val[:LONGEST_ID])
    return None


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the golden file of that name beside the test, or write it anew."""
    folder = Path(request.path).parent / "golden"

    def check(name: str, text: str) -> None:
        golden = folder / name
        if request.config.getoption("--update-golden"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text, encoding="utf-8")
        assert golden.read_text(encoding="utf-8") == text, "see tests/conftest.py to update"

    return check

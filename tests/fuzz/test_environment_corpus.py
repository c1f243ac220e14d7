"""The bad environment files that were met or thought of, each with what must be said of it.

To add one: put it into `corpus/environments`, run this test with `--update-golden`, and read what
came out as the person would who wrote the file.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.local_daemon import SCRIPTS
from helpers.waiting import LIMIT_S

CORPUS = Path(__file__).parent / "corpus" / "environments"
FILES = sorted(CORPUS.glob("*.yaml"))
KNOWN = re.compile(r"known here: [^\n]*")
MEMORY = 700 * 2**20


@pytest.fixture
def told(roost):
    """What `roost validate` says of a file of the corpus, with the place of the corpus left out."""

    def tell(path):
        said = roost("validate", path)
        text = (said.out + said.err).replace(f"{CORPUS}{os.sep}", "")
        return said, KNOWN.sub("known here: ...", text)  # that list grows with every field

    return tell


def golden(path, text, request):
    """Return what is to be said of a file, written anew when that was asked for."""
    stored = path.with_suffix(".txt")
    if request.config.getoption("--update-golden"):
        stored.write_text(text, encoding="utf-8")
    return stored.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_file_is_told_in_the_words_that_were_agreed_on(told, path, request):
    said, text = told(path)

    assert said.code in {0, 3}
    assert "hunter2" not in text  # what stands for a secret in the corpus
    assert golden(path, text, request) == text


def test_the_whole_corpus_is_told_within_bounds_of_memory_and_time():
    """One process for all of it: with faults, without a traceback, and without growing."""
    done = subprocess.run(
        [sys.executable, "-m", "roost", "validate", str(CORPUS)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    *faults, last = done.stderr.splitlines()
    assert done.returncode == 3
    assert last.startswith("roost: error [invalid-files]: ")
    assert all(fault.startswith(f"{CORPUS}{os.sep}") for fault in faults)
    assert "Traceback" not in done.stderr


def test_every_sentence_belongs_to_a_file():
    assert {path.stem for path in CORPUS.glob("*.txt")} == {path.stem for path in FILES}

"""Events that arrive again, or wait when the server stops: Prefect's own code, in its image."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

TRIALS = Path(__file__).parents[1] / "helpers" / "event_trials.py"


@pytest.fixture
def play(image, tmp_path):
    """Plays a trial of helpers/event_trials.py in the image; gives what came of it."""

    def play(name, *arguments):
        done = subprocess.run(
            [image.bin / "python", TRIALS, name, *arguments],
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "PREFECT_HOME": str(tmp_path),
                "PREFECT_LOGGING_LEVEL": "CRITICAL",
                "PYTHONPATH": str(image.folder),
            },
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return play


def test_events_that_arrive_again_are_written_once_and_hold_up_no_others(play):
    assert play("resent") == {"failed": 0, "events": 3}


@pytest.mark.slow
def test_prefect_alone_fails_at_them(play):
    """Else the trial proves nothing."""
    assert play("resent", "--without")["failed"] == 2


@pytest.mark.slow
def test_what_waits_at_a_stop_is_delivered_to_the_service_it_waited_for(play):
    assert play("carried") == {
        "kept": 3,
        "left to the page": 2,
        "got": {"one": [["second", "2"]], "two": [["first", "1"], ["second", "2"]]},
    }

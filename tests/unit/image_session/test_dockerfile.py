from __future__ import annotations

import pytest

from image.dockerfile import Instruction, default_base, instructions
from image.errors import ImageError


def test_joins_lines_and_leaves_out_comments_between_them():
    text = '# head\nRUN one \\\n    # why\n    && two\n\ncmd ["a", "b c"]\n'

    assert list(instructions(text)) == [
        Instruction("RUN", "one && two"),
        Instruction("CMD", '["a", "b c"]'),
    ]


def test_reads_the_arguments_of_a_json_form():
    assert Instruction("CMD", '["a", "b c"]').argv == ("a", "b c")


def test_the_base_is_what_its_argument_says():
    assert default_base("ARG OTHER=x\nARG BASE=python:3.13-slim\nFROM ${BASE}\n") == (
        "python:3.13-slim"
    )


def test_a_dockerfile_without_the_argument_is_refused():
    with pytest.raises(ImageError, match="ARG BASE"):
        default_base("FROM python\n")

"""Every YAML block of the pages is an environment file, or a part of one, that `validate` takes."""

from __future__ import annotations

import pytest
import yaml

from helpers.documents import ROOT, blocks, pages
from roost.environment.load import check
from roost.environment.model import AUTH_SECRET, Environment
from roost.environment.objects_file import read_objects_file
from roost.environment.prefect_objects import SECTIONS
from roost.environment.yaml_source import read_source

FIELDS = set(Environment.model_fields)
# What every file needs; a block that shows a part of one leaves them out.
DEFAULTS = {
    "app": "acme-demo",
    "region": "iad",
    "prefect": {"version": "3.9.1"},
    "secrets": [AUTH_SECRET],
}
# Files of other programs: the rules of SOPS.
OTHERS = {"creation_rules"}
BLOCKS = [block for page in pages() for block in blocks(page) if block.language == "yaml"]


def faults_of(text):
    """Return what is wrong with a file, or with a part of one."""
    missing = {key: value for key, value in DEFAULTS.items() if key not in yaml.safe_load(text)}
    whole = f"{text}\n{yaml.safe_dump(missing) if missing else ''}"
    source = read_source("demo.yaml", whole.encode())
    return [fault.message for fault in check(source)[1]]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_yaml_block_is_what_validate_takes(block, tmp_path):
    data = yaml.safe_load(block.text)

    if set(data) <= set(SECTIONS):
        path = tmp_path / "objects.yaml"
        path.write_text(block.text, encoding="utf-8")
        assert read_objects_file(tmp_path, path.name, ["SLACK_URL"]).objects
    elif set(data) != OTHERS:
        assert set(data) <= FIELDS
        assert faults_of(block.text) == []


def test_the_versions_of_the_examples_have_locks():
    for block in BLOCKS:
        prefect = yaml.safe_load(block.text).get("prefect", {})
        if "version" in prefect:
            assert (ROOT / "deploy" / "locks" / f"prefect-{prefect['version']}.txt").is_file()


def test_there_are_blocks_and_a_wrong_one_would_be_found():
    assert len(BLOCKS) >= 3
    assert faults_of("machine: {size: shared-cpu-1x, memory: 512}")

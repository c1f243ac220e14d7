"""An object against its entry: only the fields of the file, and what the server adds is no difference."""

from __future__ import annotations

import pytest

from roost.environment.prefect_objects import PrefectObject
from roost.plan.objects_compare import differing, form_of
from roost.plan.objects_record import Written

SPECS = {"job_configuration": {"command": "{{ command }}"}, "variables": {"type": "object"}}


def entry(section, **body):
    return PrefectObject(section, {"name": "x", **body})


@pytest.mark.parametrize(
    ("found", "live", "fields"),
    [
        (entry("work_pools", type="process"), {"type": "process", "is_paused": True}, ()),
        (entry("work_pools", type="process", is_paused=False), {"type": "process", "is_paused": True}, ("is_paused",)),
        (entry("work_pools", type="process", concurrency_limit=None), {"type": "process"}, ()),
        (entry("work_pools", type="process", concurrency_limit=None), {"type": "process", "concurrency_limit": 3}, ("concurrency_limit",)),
        (entry("work_pools", type="process", base_job_template=SPECS), {"type": "process", "base_job_template": {**SPECS, "more": 1}}, ("base_job_template",)),
        (entry("work_pools", type="process", storage_configuration={}), {"type": "process", "storage_configuration": {"added": None}}, ()),
        (entry("variables", value={"a": 1}), {"value": {"a": 1, "b": 2}}, ("value",)),
        (entry("variables", value=True), {"value": 1}, ("value",)),
        (entry("variables", value=[1, 2]), {"value": [2, 1]}, ("value",)),
        (entry("variables", value="a", tags=["x", "y"]), {"value": "a", "tags": ["y", "x"]}, ()),
        (entry("concurrency_limits", limit=2), {"limit": 2.0, "active": False}, ()),
        (entry("concurrency_limits", limit=1), {"limit": True}, ("limit",)),
        (entry("automations", trigger={"expect": ["a", "b"]}), {"trigger": {"expect": ["b", "a"], "id": "1"}}, ()),
        (entry("automations", trigger={"expect": ["a", "b"]}), {"trigger": {"expect": ["b"]}}, ("trigger",)),
        (entry("automations", actions=[{"type": "do-nothing"}]), {"actions": [{"type": "do-nothing", "x": 1}]}, ()),
        (entry("automations", actions=[{"type": "do-nothing"}]), {"actions": [5]}, ("actions",)),
        (entry("blocks", type="t", data={"url": {"secret": "A"}, "mode": "x"}), {"url": "********", "mode": "y"}, ("mode",)),
        (entry("blocks", type="t", data={"url": {"secret": "A"}}), {}, ("url",)),
    ],
)  # fmt: skip
def test_only_the_fields_of_the_file_count(found, live, fields):
    assert differing(found, live, Written()) == fields


def test_a_form_that_prefect_chose_itself_is_no_difference_until_it_changes():
    found = entry("automations", trigger={"within": "PT10M"})
    written = Written(form_of(found, {"trigger": {"within": 600.0}}))

    assert differing(found, {"trigger": {"within": 600.0}}, written) == ()
    assert differing(found, {"trigger": {"within": 60.0}}, written) == ("trigger",)

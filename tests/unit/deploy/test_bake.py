"""The build of the server's image: what ends it."""

from __future__ import annotations

import json

import pytest

from roost_server.bake import prove_collections
from roost_server.errors import CollectionError


def test_a_build_goes_on_where_every_collection_was_imported():
    prove_collections({"prefect_redis": json})
    prove_collections({})


def test_a_build_ends_with_each_collection_that_cannot_be_imported():
    found = {"one": ImportError("no name 'X'"), "two": json, "three": TypeError("too old")}

    with pytest.raises(CollectionError) as caught:
        prove_collections(found)

    said = str(caught.value)
    assert (
        "the collection one cannot be imported with this Prefect (ImportError: no name 'X')" in said
    )
    assert "three" in said
    assert "two" not in said
    assert said.endswith("Choose another version in prefect.extras, and lock it again")

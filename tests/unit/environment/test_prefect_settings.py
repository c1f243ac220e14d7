"""The lists of settings beside the locks."""

from __future__ import annotations

import pytest

from roost.environment.prefect_settings import OWN_DEPLOY, deploy_of, locked_versions, settings_of


@pytest.mark.parametrize("version", locked_versions(OWN_DEPLOY))
def test_each_locked_version_has_its_list(version):
    known = settings_of(OWN_DEPLOY, version)

    assert known.complete
    assert len(known.by_name) > 300
    assert known.canonical("PREFECT_API_DATABASE_CONNECTION_URL") == (
        "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    )
    assert not [name for name, setting in known.by_name.items() if not setting.kind]


def test_a_version_without_a_list_is_judged_by_no_list(tmp_path):
    """A lock from before there were lists."""
    known = settings_of(tmp_path, "3.8.8")

    assert not known.complete
    assert known.canonical("prefect_api_database_host") == "PREFECT_SERVER_DATABASE_HOST"


def test_what_is_no_line_of_a_list_is_passed_over(tmp_path):
    """The list may be a pull request's."""
    (tmp_path / "settings").mkdir()
    lines = "PREFECT_A text PREFECT_B\nroot:x:0:0\n\nPREFECT_C\nPREFECT_D text lower\n"
    (tmp_path / "settings" / "prefect-1.2.3.txt").write_text(lines)

    assert set(settings_of(tmp_path, "1.2.3").by_name) == {"PREFECT_A", "PREFECT_B"}


def test_the_repository_of_a_file_says_which_versions_there_are(tmp_path):
    file = tmp_path / "environments" / "staging.yaml"

    assert deploy_of(file) == OWN_DEPLOY
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "image.json").write_text("{}")
    assert deploy_of(file) == tmp_path / "deploy"

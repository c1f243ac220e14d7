"""What a verb says in a job, on the page of the run as well."""

from __future__ import annotations

from roost.workflows.run_page import path_in_repository


def test_what_a_verb_prints_stands_on_the_page_too(job, repository, summary):
    repository.write("staging")

    said = job("scale", "staging", "--memory-mb", "1024", "--permanent", "--reason", "demo")

    assert said.code == 0
    assert "machine.memory_mb: 512 -> 1024" in said.out
    assert summary().startswith("~~~~~~text\n")
    assert "machine.memory_mb: 512 -> 1024" in summary()


def test_nothing_is_put_anywhere_outside_of_a_job(job, repository, tmp_path, monkeypatch):
    repository.write("staging")
    monkeypatch.delenv("GITHUB_ACTIONS")

    said = job("scale", "staging", "--memory-mb", "1024", "--permanent", "--reason", "demo")

    assert said.code == 0
    assert not (tmp_path / "summary").exists()


def test_why_a_verb_failed_stands_there_too(job, summary):
    assert job("scale", "nothing", "--clear").code == 3

    assert "**Not done** (`unknown-environment`)" in summary()


def test_a_file_is_told_by_its_place_in_the_repository():
    assert path_in_repository("/w/environments/a.yaml", "/w") == "environments/a.yaml"
    assert path_in_repository("/w/head/environments/a.yaml", "/w") == "environments/a.yaml"
    assert (
        path_in_repository("/w/environments/head/environments/a.yaml", "/w")
        == "environments/a.yaml"
    )
    assert path_in_repository("/w/other/a.yaml", "/w") == "other/a.yaml"
    assert path_in_repository("/elsewhere/a.yaml", "/w") == "/elsewhere/a.yaml"


def test_no_text_of_a_file_is_a_command_to_the_runner(job, repository):
    path = repository.write("staging")
    path.write_text(path.read_text() + '"::set-output name=any::true": 1\n"##[add-mask]x": 2\n')

    said = job("validate")

    ours = [line for line in said.out.splitlines() if not line.startswith("::error ")]
    told = "\n".join((*ours, said.err))
    assert said.code == 3
    assert "set-output" in told
    assert not [line for line in told.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in told


def test_what_a_plan_shows_is_no_command_either(job, repository):
    repository.write("staging", prefect={"settings": {"PREFECT_UI_URL": "##[error]x"}})

    said = job("show", "staging")

    assert "[error]x" in said.out
    assert "##[" not in said.out

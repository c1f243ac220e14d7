from __future__ import annotations

from pathlib import Path

from image.host import pip_configuration, pip_files

USUAL = "[global]\nindex-url = https://index.example/simple\ncert = /etc/ssl/own.pem\n"


def test_a_machine_without_an_index_of_its_own_gives_nothing():
    assert pip_configuration(["[global]\ncert = /etc/ssl/own.pem\n"], {}) == ""


def test_keeps_where_packages_come_from():
    assert pip_configuration([USUAL], {}) == (
        "[global]\nindex-url = https://index.example/simple\n"
    )


def test_a_later_file_wins_and_a_variable_wins_over_files():
    later = "[install]\nindex-url = https://later.example/simple\n"

    assert "later.example" in pip_configuration([USUAL, later], {})
    assert "third.example" in pip_configuration(
        [USUAL, later], {"PIP_INDEX_URL": "https://third.example/simple"}
    )


def test_folders_of_this_machine_are_left_out():
    text = "[global]\nextra-index-url =\n    file:///opt/simple\n    https://more.example/simple\n"

    assert pip_configuration([text], {}) == (
        "[global]\nextra-index-url = https://more.example/simple\n"
    )
    assert pip_configuration(["[global]\nextra-index-url = file:///opt/simple\n"], {}) == ""


def test_a_percent_sign_in_an_address_is_itself():
    text = "[global]\nindex-url = https://user:p%40ss@index.example/simple\n"

    assert "p%40ss" in pip_configuration([text], {})


def test_reads_the_files_pip_reads_with_a_named_one_last():
    files = pip_files({"HOME": "/home/me", "PIP_CONFIG_FILE": "/elsewhere/pip.conf"})

    assert files[-1] == Path("/elsewhere/pip.conf")
    assert Path("/home/me/.config/pip/pip.conf") in files
    assert files[-2:] != pip_files({"HOME": "/home/me"})[-2:]

"""Every command line in the pages is one that the command line, `./run` or nox takes."""

from __future__ import annotations

import ast
import re
import shlex

import pytest
import typer.main
from typer._click.exceptions import BadOptionUsage, ClickException, MissingParameter

from helpers.documents import ROOT, blocks, inline, pages
from roost.cli.app import app

WHOLE = typer.main.get_command(app)
SHELL = {"", "sh", "bash", "console", "text"}
# A placeholder of a page, by a value that its option takes.
PLACEHOLDERS = {"N": "1", "TIME": "4h", "MB": "1024", "PORT": "4280"}
PROGRAMS = ("./run ", "roost ")
NOX = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
SESSIONS = {
    node.name
    for node in NOX.body
    if isinstance(node, ast.FunctionDef)
    and any("session" in ast.unparse(decorator) for decorator in node.decorator_list)
}
# What `./run` does itself.
OWN = {"roost", "up", "update", "sops", "--list", "--help", "SESSION"}


def lines_of(page):
    """Return the command lines of a page: (where, line, whether it is whole)."""
    name = str(page.relative_to(ROOT))
    for block in blocks(page):
        if block.language in SHELL and "reference/" not in name:
            for line in block.text.replace("\\\n", " ").splitlines():
                yield str(block), line.strip(), True
    for code in inline(page, "code_inline"):
        yield name, " ".join(code.content.split()), False


def commands_in(line):
    """Return each `./run` or `roost` call of a line, without variables, comments and redirections."""
    for part in re.split(r"\s#\s?|&&|\|\s|\s>\s|;", line):
        words = re.sub(r"^([A-Z_]+=(\"[^\"]*\"|\S*)\s+)+", "", part.strip())
        if words.startswith(PROGRAMS) or words == "./run":
            yield words


CALLS = [
    (where, call, whole)
    for page in pages()
    for where, line, whole in lines_of(page)
    for call in commands_in(line)
]


def words_of(call):
    """Return the words of a call: what is optional or repeated in it is taken once."""
    plain = re.sub(r"\.\.\.|…", "", call)
    plain = re.sub(r"\[([^\]]*)\]", r"\1", plain)
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(plain)]


def parse(words, *, whole):
    """Have the real command line parse the words of `roost`.

    Raises:
        ClickException: it does not take them.
    """
    command, path = WHOLE, "./run roost"
    while hasattr(command, "commands"):
        if not words:
            return
        if words[0].isupper() or words[0] == "--help":  # `./run roost COMMAND`
            return
        name, words = words[0], words[1:]
        if name not in command.commands:
            raise ClickException(f"no such command: {name}")
        command, path = command.commands[name], f"{path} {name}"
    try:
        command.make_context(path, list(words))
    except (MissingParameter, BadOptionUsage):
        if whole:  # a sentence may name a command or an option without its value
            raise


@pytest.mark.parametrize(("where", "call", "whole"), CALLS, ids=[f"{w} {c}" for w, c, _ in CALLS])
def test_a_command_of_a_page_is_understood(where, call, whole):
    words = words_of(call)
    if words[0] == "./run":
        assert len(words) == 1 or words[1] in SESSIONS | OWN, where
        if words[1:2] in (["roost"], ["up"], ["update"]):
            words = words[1:] if words[1] == "roost" else ["roost", *words[1:]]
    if words[0] == "roost":
        parse(words[1:], whole=whole)


def test_there_are_commands_and_a_wrong_one_would_be_found():
    assert len(CALLS) > 100
    for wrong in ("scale staging --untill 4h", "plna staging", "plan"):
        with pytest.raises(ClickException):
            parse(wrong.split(), whole=True)

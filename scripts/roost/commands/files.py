"""`roost validate`, `roost show` and `roost schema`: commands that only read files."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from roost.environment.load import load_environment, load_files
from roost.environment.schema import render_schema
from roost.environment.written_out import merged
from roost.errors import ExitCode, InvalidFilesError, RoostError, UsageError
from roost.operations.context import Context
from roost.operations.image_parts import image_for
from roost.report.text import Verbatim

SCHEMA_FILE = "environment.schema.json"


def validate(context: Context, paths: list[Path], *, as_json: bool) -> ExitCode:
    """Check files and folders, and report every fault of every file.

    Raises:
        InvalidFilesError: there is at least one fault.
        UsageError: there is no environment file.
    """
    chosen = paths or [context.environments]
    loaded = load_files(chosen)
    if as_json:
        faults = [vars(fault) for fault in loaded.faults]
        names = [file.name for file in loaded.files]
        context.out.print_json(json.dumps({"valid": names, "faults": faults}))
        return ExitCode.BAD_INPUT if faults else ExitCode.DONE
    if loaded.faults:
        raise InvalidFilesError(loaded.faults)
    if not loaded.files:
        raise UsageError(
            f"There is no environment file in {', '.join(map(str, chosen))}.",
            advice="An environment is a file NAME.yaml. Name a file or a folder.",
        )
    count = len(loaded.files)
    context.out.print(f"{count} environment{'s' if count > 1 else ''} valid.")
    return ExitCode.DONE


def show(context: Context, name: str, *, as_json: bool) -> ExitCode:
    """Print an environment with its defaults merged in, and its image."""
    file = load_environment(name, context.environments)
    data = merged(file)
    try:
        image = image_for(context, file)
    except RoostError as error:
        image = f"(none: {error.what})"
    if as_json:
        context.out.print_json(json.dumps({**data, "x-environment": name, "x-image": image}))
        return ExitCode.DONE
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    whole = f"# {file.path}\n# image: {image}\n{text}"
    context.out.print(Verbatim(whole), end="", soft_wrap=True)
    return ExitCode.DONE


def schema(context: Context, *, write: bool, check: bool) -> ExitCode:
    """Print the schema, write the committed file, or check that it is fresh."""
    committed = context.project / "environments" / SCHEMA_FILE
    wanted = render_schema()
    if check:
        if committed.is_file() and committed.read_text(encoding="utf-8") == wanted:
            return ExitCode.DONE
        context.progress.print(f"{committed.name} is stale. Write it again: ./run schema")
        return ExitCode.CHANGES
    if write:
        committed.write_text(wanted, encoding="utf-8")
        return ExitCode.DONE
    context.out.print(Verbatim(wanted), end="", soft_wrap=True)
    return ExitCode.DONE

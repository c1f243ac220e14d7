"""Real image builds: uv, the cache, and concurrent builders."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from localfly.errors import ImageBuildError, UvMissingError
from localfly.images import venvs
from localfly.images.builder import Images

REF = "registry.fly.io/thing:one"
PROGRAM = "import os, pathlib\nprint(pathlib.Path('baked.txt').read_text())\n"
BAKE = ["python", "-c", "import os; open(os.environ['IMAGE_ROOT'] + '/baked.txt', 'a').write('b')"]
# One small pure package; the hashes are the index's own.
LOCK = """six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274 \\
    --hash=sha256:ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81
"""


@pytest.fixture
def context(tmp_path):
    """An image folder without a lock: one file and a bake command."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    describe(folder)
    return folder


def describe(folder, **changes):
    spec = {
        "lock": None,
        "files": ["program.py"],
        "bake": BAKE,
        "command": ["python", "program.py"],
    }
    (folder / "image.json").write_text(json.dumps(spec | changes))


def build(images, context, ref=REF, progress=lambda _: None):
    return asyncio.run(images.build(context, "1.0", ref, progress))


def entries(cache, kind):
    folder = cache / kind
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_an_image_is_built_once_and_found_again(tmp_path, context):
    images = Images(tmp_path / "cache")

    first = build(images, context)
    second = build(images, context, ref="registry.fly.io/thing:two")

    assert (first.cached, second.cached) == (False, True)
    assert first.image.folder == second.image.folder
    assert (first.image.folder / "baked.txt").read_text() == "b"
    assert list((first.image.folder / "__pycache__").glob("program.*.pyc"))
    assert Images(tmp_path / "cache").lookup(REF) == first.image
    assert [image.ref for image in images.list()] == [REF, "registry.fly.io/thing:two"]


def test_the_image_runs_with_its_own_python(tmp_path, context):
    image = build(Images(tmp_path / "cache"), context).image

    said = subprocess.run(
        image.command,
        cwd=image.folder,
        env={"PATH": str(image.bin)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "b\n"


def test_another_file_is_another_image(tmp_path, context):
    images = Images(tmp_path / "cache")
    first = build(images, context)
    (context / "program.py").write_text(PROGRAM + "\n")

    second = build(images, context)

    assert first.image.digest != second.image.digest
    assert images.lookup(REF) == second.image


def test_a_reference_never_built_stands_for_nothing(tmp_path):
    assert Images(tmp_path).lookup("registry.fly.io/thing:none") is None


def test_an_image_whose_folder_was_removed_is_not_found(tmp_path, context):
    images = Images(tmp_path / "cache")
    image = build(images, context).image
    image.folder.rename(tmp_path / "elsewhere")

    assert images.lookup(REF) is None


def test_a_failing_bake_says_why_and_leaves_nothing(tmp_path, context):
    describe(context, bake=["python", "-c", "raise SystemExit('no flour')"])
    images = Images(tmp_path / "cache")

    with pytest.raises(ImageBuildError, match="no flour"):
        build(images, context)

    assert entries(tmp_path / "cache", "images") == []
    assert images.lookup(REF) is None


def test_a_build_given_up_ends_its_command_and_leaves_nothing(tmp_path, context):
    slow = "import time; print('baking', flush=True); time.sleep(600)"
    describe(context, bake=["python", "-c", slow])
    cache = tmp_path / "cache"

    async def give_up():
        began = asyncio.Event()
        lines = []

        def heard(line):
            lines.append(line)
            if line == "baking":
                began.set()

        building = asyncio.create_task(Images(cache).build(context, "1.0", REF, heard))
        await began.wait()
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)

    asyncio.run(give_up())

    assert entries(cache, "images") == []


def test_the_rest_of_a_killed_builder_is_not_taken_for_an_image(tmp_path, context):
    cache = tmp_path / "cache"
    image = build(Images(cache), context).image
    (image.folder / ".complete").unlink()
    (image.folder / "half").touch()

    again = build(Images(cache), context)

    assert not again.cached
    assert not (again.image.folder / "half").exists()
    assert (again.image.folder / "baked.txt").read_text() == "b"


def test_two_builders_at_once_build_one_image(tmp_path, context):
    script = (
        "import asyncio, sys, pathlib\n"
        "from localfly.images.builder import Images\n"
        "build = Images(pathlib.Path(sys.argv[1])).build(pathlib.Path(sys.argv[2]), '1.0', sys.argv[3])\n"
        "print(asyncio.run(build).cached)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "cache"), str(context), f"thing:{n}"],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for n in range(2)
    ]

    cached = sorted(builder.communicate()[0].strip() for builder in builders)

    assert cached == ["False", "True"]
    images = Images(tmp_path / "cache")
    assert images.lookup("thing:0").folder == images.lookup("thing:1").folder
    assert (images.lookup("thing:0").folder / "baked.txt").read_text() == "b"


def test_a_locked_package_is_installed_and_compiled(tmp_path, context):
    (context / "lock-1.0.txt").write_text(LOCK)
    describe(context, lock="lock-{version}.txt", bake=["python", "-c", "import six"])
    heard = []

    image = build(Images(tmp_path / "cache"), context, progress=heard.append).image

    assert list(image.bin.parent.glob("lib/python*/site-packages/__pycache__/six.*.pyc"))
    assert any("six==1.17.0" in line for line in heard)


def test_a_package_that_is_not_what_the_lock_says_is_refused(tmp_path, context):
    (context / "lock-1.0.txt").write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n")
    describe(context, lock="lock-{version}.txt")

    with pytest.raises(ImageBuildError, match=r"(?i)hash"):
        build(Images(tmp_path / "cache"), context)

    assert entries(tmp_path / "cache", "venvs") == []


def test_without_uv_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(venvs.importlib.util, "find_spec", lambda _: None)

    with pytest.raises(UvMissingError, match="pip install uv"):
        venvs.find_uv({"PATH": "/nonexistent"})


def test_uv_is_taken_from_where_the_variable_says():
    assert venvs.find_uv({"UV": "/opt/uv", "PATH": ""}) == "/opt/uv"


def test_a_foreign_file_that_does_not_compile_is_in_the_image_and_reported(tmp_path, context):
    """As in an image of Docker: the file may be a template, which nobody imports."""
    (context / "template.py").write_text("def {{ name }}(:\n")
    describe(context, files=["program.py", "template.py"], foreign=["template.py"])
    said = []

    image = build(Images(tmp_path / "cache"), context, progress=said.append).image

    assert (image.folder / "template.py").is_file()
    assert any("template.py" in line for line in said)
    assert any("do not compile" in line for line in said)


def test_a_file_of_the_image_s_own_that_does_not_compile_fails_the_build(tmp_path, context):
    (context / "broken.py").write_text("def broken(:\n")
    describe(context, files=["program.py", "broken.py"])

    with pytest.raises(ImageBuildError, match=r"broken\.py"):
        build(Images(tmp_path / "cache"), context)

    assert entries(tmp_path / "cache", "images") == []

"""Forked programs: processes like any other, that begin and end as the interpreter has it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.nursery import Begun, begin

ROOT = Path(__file__).parents[2]
PIPE = asyncio.subprocess.PIPE
TELL = """
import json, os, sys
import tieline_gateway.cli.up
print(json.dumps({
    "arguments": sys.argv, "path": sys.path[0], "any": os.environ.get("ANY"), "home": os.environ.get("HOME"),
    "folder": os.getcwd(), "leads": os.getpid() == os.getsid(0), "name": __name__, "pid": os.getpid(),
    "files": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    "forked": "tests.support.nursery_process" in sys.orig_argv,
}))
"""  # fmt: skip


def script(folder: Path, source: str) -> Path:
    path = folder / "program.py"
    path.write_text(source)
    return path


async def start(folder: Path, source: str, *arguments: str, stdin: int = asyncio.subprocess.DEVNULL) -> Begun:
    path = str(script(folder, source))
    env = {**os.environ, "ANY": "thing"}
    return await begin(sys.executable, path, *arguments, env=env, stdin=stdin, stdout=PIPE, stderr=PIPE)


async def test_it_has_its_own_arguments_environment_folder_and_session_and_no_files_of_others(tmp_path: Path) -> None:
    path = script(tmp_path, TELL)
    program = await begin(
        sys.executable, str(path), "a", "b", env={"ANY": "thing", **_as_ours()}, stdout=PIPE, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    out, _ = await program.communicate()
    told = json.loads(out)
    assert told["arguments"] == [str(path), "a", "b"]
    assert (told["path"], told["folder"]) == (str(tmp_path), str(tmp_path))
    assert (told["any"], told["home"], told["name"]) == ("thing", None, "__main__")
    assert told["leads"]
    assert told["pid"] == program.pid
    assert told["files"] == [0, 1, 2, 3]  # the last is the look at them
    assert told["forked"], "it was not forked"


async def test_what_it_reads_and_prints_goes_through_pipes(tmp_path: Path) -> None:
    source = "import sys\ntext = sys.stdin.read()\nprint(len(text))\nprint(text[:3], file=sys.stderr)"
    program = await start(tmp_path, source, stdin=PIPE)
    assert await program.communicate(b"abc" * 100_000) == (b"300000\n", b"abc\n")
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [("", 0), ("raise SystemExit(7)", 7), ("raise ValueError", 1), ("import os; os.abort()", -signal.SIGABRT)],
)
async def test_it_ends_with_the_code_of_its_own(tmp_path: Path, source: str, code: int) -> None:
    program = await start(tmp_path, source)
    out, err = await program.communicate()
    assert (program.returncode, out) == (code, b"")
    assert (b"ValueError" in err) == (code == 1)


async def test_what_it_wants_done_at_its_end_is_done(tmp_path: Path) -> None:
    program = await start(tmp_path, "import atexit\natexit.register(print, 'bye')\nprint('hello')")
    assert await program.communicate() == (b"hello\nbye\n", b"")


async def test_a_signal_goes_to_it_alone(tmp_path: Path) -> None:
    source = "import time\nprint('here', flush=True)\ntime.sleep(60)"
    first, second = await start(tmp_path, source), await start(tmp_path, source)
    for program in (first, second):
        assert program.stdout is not None
        assert await program.stdout.readline() == b"here\n"
    os.kill(first.pid, signal.SIGKILL)
    assert await first.wait() == -signal.SIGKILL
    assert second.returncode is None
    os.kill(second.pid, signal.SIGINT)
    _, err = await second.communicate()
    assert b"KeyboardInterrupt" in err
    assert second.returncode == -signal.SIGINT


async def test_no_two_have_the_same_chance(tmp_path: Path) -> None:
    programs = [await start(tmp_path, "import random, uuid\nprint(random.random(), uuid.uuid4())") for _ in range(2)]
    said = [await program.communicate() for program in programs]
    assert said[0] != said[1]


async def test_what_the_interpreter_reads_at_its_start_makes_it_a_program_of_its_own(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    program = await begin(sys.executable, str(script(tmp_path, TELL)), env=env, stdout=PIPE)
    out, _ = await program.communicate()
    assert not json.loads(out)["forked"]


async def test_a_program_starts_its_own_as_a_shell_would(tmp_path: Path) -> None:
    source = """
import asyncio, os, sys
from tests.support.nursery import begin

async def main():
    await (await begin(sys.executable, sys.argv[1], env=dict(os.environ))).wait()

asyncio.run(main())
"""
    told = tmp_path / "tell.py"
    told.write_text(TELL)
    path = str(script(tmp_path, source))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = await begin(sys.executable, path, str(told), env=env, stdout=PIPE)
    out, _ = await program.communicate()
    assert not json.loads(out)["forked"]


def _as_ours() -> dict[str, str]:
    """What the interpreter reads at its start."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LC_", "LANG", "LD_"))}

"""What is installed from a wheel has the whole dashboard; a clone that was not set up says what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.gateway.up import Up, WebClient

_GATEWAY = Path(__file__).parents[2] / "gateway"
_FOLDER = "tieline_gateway/dashboard/"
_IMPORT = re.compile(r'(?:from|import) ?"(\./[^"]+|\.\./[^"]+)"')


def test_the_wheel_has_every_file_that_the_page_asks_for(tmp_path: Path) -> None:
    building = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(building, cwd=_GATEWAY, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        ours = {name.removeprefix(_FOLDER): packed.read(name) for name in packed.namelist() if _FOLDER in name}
    page = ours["index.html"].decode()
    asked = set(re.findall(r'(?:src|href)="/dashboard/([^"]+)"', page)) - {""}
    for name in [each for each in ours if each.endswith(".js")]:
        found = _IMPORT.findall(ours[name].decode())
        asked |= {str((Path("/") / name).parent.joinpath(each).resolve())[1:] for each in found}
    assert len(asked) > 40
    assert asked <= set(ours)
    assert {f"static/vendor/LICENSE.{name}" for name in ("preact", "htm", "uplot")} <= set(ours)


async def test_without_the_files_of_others_the_page_says_what_to_do(tmp_path: Path) -> None:
    sources = _GATEWAY / "src" / "tieline_gateway"
    shutil.copytree(sources, tmp_path / sources.name, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    async with Up(http=True, env={"PYTHONPATH": str(tmp_path)}) as up, WebClient(up) as web:
        assert "make setup" in (await web.get("/dashboard/")).text
        assert (await web.get("/healthz")).text == "ok"

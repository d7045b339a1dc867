"""What is installed from a wheel has the whole dashboard."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

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

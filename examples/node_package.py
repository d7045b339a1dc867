"""Makes `import { … } from "tieline"` find the Node client of this repository, as `npm install tieline` would."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_CLIENT = ROOT / "clients" / "node"


class NotBuilt(Exception):
    """The Node client has not been compiled."""


def provide(folder: Path) -> None:
    """Let the programs in a folder import `tieline`, through a link in its `node_modules`.

    Raises:
        NotBuilt: run `make setup` first.
    """
    if not (NODE_CLIENT / "dist" / "index.js").exists():
        raise NotBuilt("clients/node/dist/index.js is not there; run `make setup`")
    link = folder / "node_modules" / "tieline"
    if link.resolve() != NODE_CLIENT:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(NODE_CLIENT, target_is_directory=True)

"""`/dashboard/`: the pages for people. Files that were there at the start are served from memory, and nothing else."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tieline.errors import NotFoundError
from tieline_gateway.http.problems import refusal

PREFIX = "/dashboard/"
"""Everything below is open to anybody: it holds no data."""

_PAGE = "index.html"
_VENDOR = "static/vendor/"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SAFE = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_UNFINISHED = b"""<!doctype html><meta charset="utf-8"><title>Tieline</title>
<p>The dashboard is not complete: other people's files are missing. Run <code>make setup</code>, and start the gateway
again. The gateway itself works.
"""


class _File(NamedTuple):
    data: bytes
    tag: str
    kind: str


def dashboard() -> list[Route]:
    """The routes of the dashboard, and of what leads there."""
    found = {name: _file(name, data) for name, data in _read(files("tieline_gateway") / "dashboard", "")}
    if not any(name.startswith(_VENDOR) for name in found):
        found[_PAGE] = _file(_PAGE, _UNFINISHED)

    async def serve(request: Request) -> Response:
        """A file; what is none is the address of something on the page."""
        name = request.path_params["name"]
        if name not in found and name.startswith("static/"):
            return refusal(NotFoundError(f"the dashboard has no file {name!r:.200}"))
        return _answer(found.get(name, found[_PAGE]), request.headers.get("if-none-match", ""))

    async def lead(_request: Request) -> Response:
        return RedirectResponse(PREFIX)

    return [Route("/", lead), Route(PREFIX.rstrip("/"), lead), Route(PREFIX + "{name:path}", serve)]


def _answer(file: _File, known: str) -> Response:
    headers = {**_SAFE, "etag": file.tag}
    if file.tag in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.data, headers={**headers, "content-type": file.kind})


def _file(name: str, data: bytes) -> _File:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    return _File(data, tag, _TYPES.get(name.rpartition(".")[2], "text/plain; charset=utf-8"))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    """All files in a folder, by their names from there on."""
    told: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        name = prefix + each.name
        told += _read(each, f"{name}/") if each.is_dir() else [(name, each.read_bytes())]
    return told

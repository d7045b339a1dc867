"""A slash that is written `%2F` belongs to a name in the path, and ends no part of it (RFC 3986, section 2.2).

Topics, keys and groups may have slashes. What ASGI calls `path` does not tell the two apart any more; so while a
request is routed such a slash is another character, which no path of ours has.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_MARK = "\ue02f"


class EncodedSlashes:
    """ASGI middleware: keeps `%2F` apart from `/` until `names` puts it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and b"%2" in scope["raw_path"]:
            raw = scope["raw_path"].decode("latin-1").replace("%2F", _MARK).replace("%2f", _MARK)
            scope["path"] = unquote(raw)
        await self._app(scope, receive, send)


def names(params: Mapping[str, str]) -> Mapping[str, str]:
    """The names in a path, with their slashes."""
    return {name: value.replace(_MARK, "/") for name, value in params.items()}

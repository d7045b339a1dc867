"""What the site takes from outside of docs/: its first page and the agreement, with links to pages of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TAKEN = {"README.md": "index.md", "proto/SPEC.md": "reference/spec.md"}
PYTHON = "# Python\n\nEvery public name of the Python client.\n\n::: tieline\n"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_PICTURE = re.compile(r"(!\[[^\]]*\]|src=\")(\(?)docs/images/")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in TAKEN.items():
        files.append(File.generated(config, page, content=_placed(source, page)))
    files.append(File.generated(config, "reference/python.md", content=PYTHON))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_kind: Any) -> str:
    """Links of pages in docs/ to what is outside become plain names."""
    if page.file.src_uri in TAKEN.values():
        return markdown
    return _relinked(markdown, posixpath.join("docs", page.file.src_uri), page.file.src_uri)


def _placed(source: str, page: str) -> str:
    text = _PICTURE.sub(r"\1\2images/", (ROOT / source).read_text(encoding="utf-8"))
    return _relinked(text, source, page)


def _relinked(text: str, source: str, page: str) -> str:
    def relink(found: re.Match[str]) -> str:
        name, target = found.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        on_site = TAKEN.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else "")
        if not on_site.endswith((".md", ".png")):
            return name  # a file of the repository
        link = posixpath.relpath(on_site, posixpath.dirname(page) or ".")
        return f"[{name}]({link}{'#' if anchor else ''}{anchor})"

    return _LINK.sub(relink, text)

"""The documentation site: Sphinx with MyST and furo over this folder. `make docs` builds it; nothing is fetched."""

from __future__ import annotations

import re
from typing import Any

from unified_rl import __version__

project, author, release = "unified_rl", "the authors of unified_rl", __version__
copyright = author
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"unified_rl {release}"
html_show_sphinx = False
#: A link from a page to a file of the repository that is no page: [words](../path).
OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\((?:\.\./)+([^)#]*)(#[^)]*)?\)")
#: Files of the repository that are pages of the site, included in one of this folder.
INCLUDED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
#: How deep a page stands below this folder, as it is written in its links.
FOLDERS = ("howto", "reference")


def inside(page: str, text: str) -> str:
    """A page's text with links that leave this folder put as the site can show them.

    On GitHub they lead to the file; the site holds pages only, so it names the file.
    """
    up = "../" * page.count("/")

    def replaced(match: re.Match[str]) -> str:
        words, path = match[1], match[2]
        if match[0].count("../") <= page.count("/"):
            return match[0]
        if path in INCLUDED:
            return f"[{words}]({up}{INCLUDED[path]})"
        name = words.strip("`")
        return f"`{path}`" if name in path else f"{words} (`{path}`)"

    return OUTSIDE.sub(replaced, text)


def setup(app: Any) -> None:
    def read(app: Any, page: str, source: list[str]) -> None:
        source[0] = inside(page, source[0])

    app.connect("source-read", read)

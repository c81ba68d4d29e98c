"""The site: its generated pages are up to date, every setting and format is in them, its links lead somewhere, and it builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs.pages import PAGES, ROOT

from tools.reference.formats import FORMATS, declared
from tools.reference.pages import FOLDER
from tools.reference.pages import PAGES as GENERATED
from unified_rl import __version__
from unified_rl.cli.schema import sections, settings
from unified_rl.config.schema import Config
from unified_rl.methods import COEFFICIENTS, METHODS


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_as_the_code_has_it(name):
    assert (FOLDER / name).read_text() == GENERATED[name](), "run: python -m tools.map"


def test_every_setting_of_a_configuration_is_described():
    """Those of commands are checked with the grammar (tests/cli)."""
    found = [*settings(Config), *(one for name, options in sections(Config) for one in settings(options, f"{name}."))]
    found += [one for options in COEFFICIENTS.values() for one in settings(options, "coefficient.")]
    assert [one.name for one in found if not one.text and one.name != "coefficient.name"] == []


def test_every_row_and_coefficient_is_on_its_page():
    page = (FOLDER / "methods.md").read_text()
    assert [name for name in METHODS if f"| `{name}` |" not in page] == []
    assert [name for name in COEFFICIENTS if f"\n### {name}\n" not in page] == []


def test_every_version_of_a_format_is_on_its_page():
    assert set(declared()) == set(FORMATS), "name it in tools/reference/formats.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    """On GitHub; `make docs` checks the site's. Anchors are headings as GitHub spells them."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page}: {target}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_out_of_the_documentation_name_the_file_on_the_site():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    assert spec and spec.loader
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    assert conf.inside("results", "see [LOG.md](../experiments/LOG.md).") == "see `experiments/LOG.md`."
    assert conf.inside("results", "[a table](../x/y.csv)") == "a table (`x/y.csv`)"
    assert conf.inside("methods", "[how](../CONTRIBUTING.md)") == "[how](contributing.md)"
    assert conf.inside("howto/a", "[x](../methods.md#y) [z](../../CHANGELOG.md)") == "[x](../methods.md#y) [z](../changelog.md)"
    assert conf.inside("a", "![p](pictures/x.png)") == "![p](pictures/x.png)"


def test_every_page_is_in_the_sites_contents():
    listed = set(re.findall(r"^([\w/]+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE))
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").glob("**/*.md")}
    assert pages - {"index"} == listed


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    line = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(ROOT / "docs"),
        str(tmp_path / "html"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    made = {str(path.relative_to(tmp_path / "html").with_suffix("")) for path in (tmp_path / "html").glob("**/*.html")}
    assert {"index", "tutorial", "howto/own_data", "reference/settings", "contributing"} <= made
    scripts = re.findall(r"<script[^>]*src=\"(\w+:)?//", (tmp_path / "html" / "index.html").read_text())
    assert not scripts, "the site works without a network"


def test_the_citation_says_what_is_cited():
    """The fields that version 1.2.0 of the Citation File Format requires, and the paper."""
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= facts.keys() <= CITATION_FIELDS
    assert facts["cff-version"] == "1.2.0" and facts["type"] == "software" and facts["license"] == "Apache-2.0"
    assert facts["version"] == __version__ and re.fullmatch(r"\d{4}-\d{2}-\d{2}", facts["date-released"])
    assert all({"name"} <= author.keys() or {"family-names", "given-names"} <= author.keys() for author in facts["authors"])
    (paper,) = facts["references"]
    assert {"type", "title", "authors"} <= paper.keys() and "2402.03300" in paper["url"] and len(paper["authors"]) == 11


CITATION_FIELDS = {
    *("cff-version", "message", "title", "type", "version", "date-released", "license", "authors", "abstract", "keywords"),
    *("references", "doi", "url", "repository-code", "contact", "identifiers", "commit", "preferred-citation"),
}

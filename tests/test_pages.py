"""The pages under docs/: all in the navigation of mkdocs.yml, no link leads nowhere."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def navigation(entries):
    """Pages of a navigation, in order."""
    for entry in entries:
        for target in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [target] if isinstance(target, str) else navigation(target)


def anchors(text):
    """Anchors of the headings of a page, as Markdown's toc extension makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", plain))
    return found


def broken_links(name, text):
    """Links of a page that leave docs/ or lead nowhere."""
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = ((DOCS / name).parent / path).resolve() if path else DOCS / name
        inside = there.is_relative_to(DOCS) and there.is_file()
        if not inside or (anchor and anchor not in anchors(there.read_text())):
            yield target


def test_navigation_and_pages_are_the_same():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = list(navigation(config["nav"]))
    assert sorted(named) == PAGES
    assert named[0] == "index.md"


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name):
    assert list(broken_links(name, (DOCS / name).read_text())) == []


def test_a_broken_link_is_found():
    """The tester tested."""
    text = "[a](nowhere.md) [b](index.md) [c](index.md#nothing) [d](../README.md) [e](https://x.org) ![f](no.svg)"
    assert list(broken_links("index.md", text)) == ["nowhere.md", "index.md#nothing", "../README.md", "no.svg"]
    assert list(broken_links("index.md", "[g](#geoequiv) [h](explanation/choosing-a-frame.md#in-short)")) == []

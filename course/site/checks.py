"""Faults that can be found in the files of the site: without a browser, without network."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
LOADED_BY_STYLE = re.compile(r"@import\s+(?:url\()?['\"]?(?:https?:)?//|url\(['\"]?(?:https?:)?//")
HEADINGS = "main :is(h1, h2, h3, h4, h5, h6):not(#jb-print-docs-body *)"  # those are seen on paper only


def pages_of(site: Path) -> list[Path]:
    """Return the pages of a site; the theme also keeps templates that end in .html, which are no pages."""
    return [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] != "_static"]


def find_faults(site: Path) -> list[str]:
    """Return what is wrong on the pages of a site, one sentence each; see the functions below."""
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages_of(site)}
    anchors = {path: {tag.get("id") for tag in page.find_all(id=True)} for path, page in pages.items()}
    faults = [
        f"{path.relative_to(site)}: {fault}"
        for path, page in pages.items()
        for fault in [*page_faults(page), *foreign_parts(page), *broken_links(page, path, anchors)]
    ]
    for style in sorted(site.rglob("*.css")):
        if LOADED_BY_STYLE.search(style.read_text(encoding="utf-8")):
            faults.append(f"{style.relative_to(site)}: loads something from another host")
    return faults if pages else [f"{site} has no pages. Run make site first."]


def page_faults(page: BeautifulSoup) -> list[str]:
    """Find a missing description, pictures without alt text, and headings out of order."""
    faults = []
    description = page.find("meta", attrs={"name": "description"})
    if not (description and description.get("content", "").strip()):
        faults.append("no description")
    faults += [f"no alt text: {image.get('src')}" for image in page.find_all("img") if not image.get("alt", "").strip()]
    levels = [int(heading.name[1]) for heading in page.select(HEADINGS)]
    if levels.count(1) != 1 or levels[0] != 1:
        faults.append(f"the headings must begin with the only h1, not {levels}")
    faults += [f"a heading h{b} comes after h{a}" for a, b in itertools.pairwise(levels) if b > a + 1]
    return faults


def foreign_parts(page: BeautifulSoup) -> list[str]:
    """Find what a browser would load from another host as soon as it opens the page."""
    faults = [
        f"<{tag.name}> loads from another host: {tag[LOADED[tag.name]]}"
        for tag in page.find_all(list(LOADED))
        if urlsplit(tag.get(LOADED[tag.name], "")).netloc and "canonical" not in tag.get("rel", [])
    ]
    styles = [*(tag.get_text() for tag in page.find_all("style")), *(tag["style"] for tag in page.find_all(style=True))]
    return faults + [f"a style loads from another host: {text[:80]}" for text in styles if LOADED_BY_STYLE.search(text)]


def broken_links(page: BeautifulSoup, path: Path, anchors: dict[Path, set[str]]) -> list[str]:
    """Find links to pages, files and places that the site does not have."""
    faults = []
    for link in page.find_all("a", href=True):
        address = urlsplit(link["href"])
        if address.scheme or address.netloc:
            continue
        target = (path.parent / unquote(address.path)).resolve() if address.path else path
        if not target.is_file():
            faults.append(f"a link leads nowhere: {link['href']}")
        elif address.fragment and target in anchors and unquote(address.fragment) not in anchors[target]:
            faults.append(f"a link leads to no place on its page: {link['href']}")
    return faults


def external_links(site: Path) -> list[str]:
    """Return the addresses on other hosts that the pages link to; nobody asks whether they answer."""
    pages = (BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages_of(site))
    return sorted({link["href"] for page in pages for link in page.find_all("a", href=re.compile("^https?:"))})

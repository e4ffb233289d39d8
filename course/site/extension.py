"""What the site adds to Sphinx: alt texts of figures, links to the glossary, a description for each page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from course import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
ENTRY = re.compile(r"^- \*\*(.+?)\*\*: (.+)$", re.MULTILINE)  # of the glossary: a term, what it means
LINKED_FOLDERS = ("notebooks/", "exercises/")  # pages whose words link to the glossary
NO_LINKS_IN = (nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, addnodes.pending_xref)
DESCRIPTION_LENGTH = 160  # characters; search engines show about as many
NOT_FOUND = "404"  # GitHub Pages shows this page at any address that does not exist
SEARCH_DESCRIPTION = "Search all pages of the course on transfer learning and fine-tuning."


def setup(app: Sphinx) -> dict:
    """Connect the functions of this file to Sphinx."""
    app.connect("doctree-read", describe_figures)
    app.connect("doctree-read", link_terms)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def describe_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each figure of a notebook the alt text and width of ``plots.show``, which myst-nb leaves in the metadata."""
    path = app.env.doc2path(app.env.docname)
    if path.suffix != ".ipynb":
        return
    known = figures_of(json.loads(path.read_text(encoding="utf-8")))
    for image in doctree.findall(nodes.image):
        shown = known.get(Path(image["uri"]).stem, {})
        if shown.get("alt"):
            image["alt"] = shown["alt"]
        if shown.get("width"):
            image["width"] = f"{shown['width']}px"


def figures_of(notebook: dict) -> dict[str, dict]:
    """Return the metadata of each figure of a notebook, by the sha256 of its bytes: so myst-nb names the file."""
    figures = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                image = base64.b64decode("".join(output["data"]["image/png"]))
                figures[hashlib.sha256(image).hexdigest()] = output.get("metadata", {}).get("image/png", {})
    return figures


def glossary_terms(text: str) -> list[str]:
    """Return the terms of the glossary."""
    return [term for term, _ in ENTRY.findall(text)]


def as_directive(text: str) -> str:
    """Turn the list of the glossary, which every reader of Markdown shows, into Sphinx's, to whose terms words link."""
    before, *_ = ENTRY.split(text, maxsplit=1)
    entries = "\n\n".join(f"{term}\n  {meaning}" for term, meaning in ENTRY.findall(text))
    return f"{before}```{{glossary}}\n{entries}\n```\n"


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Link the first use of each term of the glossary, on the pages of lessons and exercises."""
    if not app.env.docname.startswith(LINKED_FOLDERS):
        return
    terms = {term.lower(): term for term in glossary_terms(GLOSSARY.read_text(encoding="utf-8"))}
    longest_first = sorted(terms, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?:e?s)?(?![\w-])", re.IGNORECASE)
    for text in list(doctree.findall(nodes.Text)):
        if terms and not inside(text, NO_LINKS_IN):
            replace_first_uses(text, pattern, terms, app.env.docname)


def inside(node: nodes.Node, kinds: tuple) -> bool:
    """Tell whether a node is part of a node of one of these kinds."""
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def replace_first_uses(text: nodes.Text, pattern: re.Pattern, terms: dict[str, str], page: str) -> None:
    """Put links into a text; each linked term is taken out of ``terms``, so that it is linked once."""
    parts, place, words = [], 0, str(text)
    for match in pattern.finditer(words):
        term = terms.pop(match[1].lower(), None)
        if term:
            link = addnodes.pending_xref(
                "", refdomain="std", reftype="term", reftarget=term, refexplicit=True, refwarn=True, refdoc=page
            )
            link += nodes.inline("", match[0], classes=["xref", "std", "std-term"])
            parts += [nodes.Text(words[place : match.start()]), link]
            place = match.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(words[place:])])


def describe(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Give the page a description, the beginning of its first paragraph; for links that are shared, a picture, too."""
    paragraph = next(doctree.findall(nodes.paragraph), None) if doctree else None
    text = " ".join(paragraph.astext().split()) if paragraph else SEARCH_DESCRIPTION
    if len(text) > DESCRIPTION_LENGTH:
        text = text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " …"
    tags = [("name", "description", text), ("property", "og:title", context.get("title", app.config.html_title))]
    if app.config.html_baseurl:  # the address of a picture must be whole
        tags.append(("property", "og:image", f"{app.config.html_baseurl}_images/gain.png"))
    base = ""
    if page == NOT_FOUND and app.config.html_baseurl:  # its links and styles must not depend on that address
        base = f'\n<base href="{app.config.html_baseurl}">'
    lines = [f'\n<meta {kind}="{name}" content="{html.escape(value)}">' for kind, name, value in tags]
    context["metatags"] = base + context.get("metatags", "") + "".join(lines)

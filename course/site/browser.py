"""Read every page of the site as a reader does: in Chromium, in light and dark, with axe-core."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tqdm import tqdm

from course import CourseError
from course.site.checks import pages_of
from course.site.teach_check import check_teach_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",  # it reads nothing but this site, and root may not use the sandbox
)
SCHEMES = ("light", "dark")
SIZES = ({"width": 1280, "height": 900}, {"width": 390, "height": 844})  # a desk and a phone
FADING = 500  # milliseconds until the colours of another scheme are there
PATIENCE = 10_000  # milliseconds that a page on a busy machine may take
LOUD = ("error", "warning")  # kinds of messages in the console
GRAVE = ("serious", "critical")  # the impacts that axe-core must not find
SEARCHED = "BatchNorm"
AXE = {"preload": False, "resultTypes": ["violations"]}  # preload asks for styles at wrong addresses
COLOURS_ALONE = AXE | {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
ALL_BUT_CODE = {"exclude": [["pre span"]]}  # thousands of coloured words, which look the same on each screen


def check_in_browser(site: Path) -> list[str]:
    """Open each page in each colour scheme and size; return what is wrong, one sentence each.

    Wrong are: a message in the console, a request to another host, one that fails, a page that is wider than
    the screen, a serious or critical issue of axe-core, a search that does not find what is there.

    Raises:
        CourseError: Chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise CourseError(f"This check needs Chromium, but none of {', '.join(BROWSERS)} is installed here.")
    faults = []
    pages = [str(path.relative_to(site)) for path in pages_of(site)]
    with serve(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        for name in tqdm(pages, desc="reading", unit=" pages", disable=None):
            faults += [f"{name}: {fault}" for fault in read_page(browser, address, name)]
        faults += check_search(browser, address) + check_keyboard(browser, address)
        faults += check_teach_page(browser, site)
        browser.close()
    return faults


@contextlib.contextmanager
def serve(site: Path) -> Iterator[str]:
    """Serve a folder on loopback; give its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def read_page(browser, address: str, name: str) -> list[str]:
    """Return what is wrong on one page, in each size and colour scheme."""
    from playwright.sync_api import TimeoutError as NothingInTime

    faults = []

    def note(is_fault: bool, text: str) -> None:
        if is_fault:
            faults.append(text)

    page = browser.new_page()
    page.on("console", lambda message: note(message.type in LOUD, f"console: {message.text}"))
    page.on("pageerror", lambda error: note(True, f"error: {error}"))
    own = ("data:", "blob:", address)
    page.on("request", lambda request: note(not request.url.startswith(own), f"asks {request.url}"))
    page.on("response", lambda response: note(response.status >= 400, f"{response.status}: {response.url}"))
    for size in SIZES:
        page.set_viewport_size(size)
        page.goto(f"{address}{name}", wait_until="networkidle")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            try:
                page.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'", timeout=PATIENCE)
            except NothingInTime:
                faults.append(f"is not {scheme}, where that is wanted")
            page.wait_for_timeout(FADING)
            context = None if size is SIZES[0] else ALL_BUT_CODE
            options = AXE if scheme == SCHEMES[0] else COLOURS_ALONE  # the colours are all that another scheme changes
            faults += [f"{scheme}, {size['width']} px: {fault}" for fault in look(page, context, options)]
    page.close()
    return faults


def look(page, context: dict | None, options: dict) -> list[str]:
    """Return what is wrong with a page as it is now, in the parts and by the rules that axe-core is told."""
    from axe_playwright_python.sync_playwright import Axe

    faults = []
    width, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if width > screen:
        faults.append(f"is {width} pixels wide")
    result = Axe().run(page, context, options).response
    for violation in result["violations"]:
        if violation["impact"] in GRAVE:
            nodes = violation["nodes"]
            places = "; ".join(node["html"][:120] for node in nodes[:3])
            faults.append(f"{violation['impact']}: {violation['help']} ({len(nodes)} places, such as {places})")
    return faults


def check_search(browser, address: str) -> list[str]:
    """Return a fault if the search does not find a word of the lessons."""
    from playwright.sync_api import TimeoutError as NothingInTime

    page = browser.new_page()
    page.goto(f"{address}search.html?q={SEARCHED}")
    with contextlib.suppress(NothingInTime):
        page.wait_for_selector("#search-results ul.search li", timeout=PATIENCE)
    found = page.locator("#search-results ul.search li a").evaluate_all("links => links.map(link => link.href)")
    page.close()
    lessons = [link for link in found if "/notebooks/" in link]
    return [] if lessons else [f"search.html: no lesson is found for {SEARCHED}, but {found}"]


def check_keyboard(browser, address: str) -> list[str]:
    """Return a fault if the first Tab does not offer to skip the menus, or Ctrl + K does not lead to the search."""
    page = browser.new_page()
    page.goto(f"{address}index.html", wait_until="networkidle")
    faults = []
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement.getAttribute('href')") != "#main-content":
        faults.append("index.html: the first Tab does not lead to a link that skips the menus")
    page.keyboard.press("Control+k")
    if page.evaluate("document.activeElement.type") != "search":
        faults.append("index.html: Ctrl + K does not lead to the search")
    page.close()
    return faults

"""Use the page "Teach it yourself" as a visitor does: in Chromium, from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from course.site.teach import PAGE, SHOWN, accuracy_of, features_of, gallery, vectors_of

CLICKS = 10_000
FEATURES = """pixels => {
  const code = document.getElementById("network-code").textContent;
  const { makeNetwork, forward } = new Function(`${code}; return { makeNetwork, forward };`)();
  const network = makeNetwork(DATA.network);
  return pixels.map(picture => Array.from(forward(network, picture).features));
}"""
ANSWERED = "document.getElementById('answer').textContent.startsWith('With {}')"


def check_teach_page(browser, site: Path) -> list[str]:
    """Return what is wrong with the page, one sentence each: its features, its accuracies, its buttons."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda each: faults.append(f"asks {each.url}") if each.url.startswith("http") else None)
    page.goto((site / PAGE).resolve().as_uri())
    page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    for check in (check_features, check_accuracy, check_own_pictures, check_question, check_many_clicks):
        faults += check(page)
    page.close()
    return [f"{PAGE}: {fault}" for fault in faults]


def check_features(page) -> list[str]:
    """Compare the features of 50 pictures with those of Keras."""
    images = gallery().reshape(-1, 32, 32, 3)[:50]
    found = np.array(page.evaluate(FEATURES, images.reshape(50, -1).tolist()))
    difference = float(np.abs(found - features_of(images)).max())
    return [] if difference < 1e-4 else [f"its features differ from those of Keras by up to {difference:.2g}"]


def check_accuracy(page) -> list[str]:
    """Press "Show me" with the keyboard; compare the accuracies with scikit-learn's on the same vectors."""
    page.focus("#show-me")
    page.keyboard.press("Enter")
    page.wait_for_function(ANSWERED.format("5"), timeout=120_000)
    said = page.inner_text("#answer")
    pictures = gallery()[list(SHOWN)]
    pixels = pictures.reshape(*pictures.shape[:2], -1) / 127.5 - 1
    features = vectors_of(pictures)
    expected = {"features of the pretrained network": features, "raw pixels": pixels}
    faults = []
    for way, vectors in expected.items():
        percent = 100 * accuracy_of(vectors.astype("float64"), 5)
        shown = float(said.split(f"{way} ")[1].split(" %")[0])
        if abs(shown - percent) > 2:
            faults.append(f"for the {way} it shows {shown:.0f} %; scikit-learn gives {percent:.1f} %")
    return faults


def check_own_pictures(page) -> list[str]:
    """Give a class of one's own good pictures, one of them twice, and a damaged one; remove one and take it back."""
    faults = []
    last = "#classes .card:last-child"
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / file for file in ("red.png", "blue.png", "again.png", "damaged.png", "empty.svg")]
        for file, colour in zip(files, ("red", "blue", "blue"), strict=False):
            Image.new("RGB", (60, 40), colour).save(file)
        files[3].write_bytes(b"no picture")
        files[4].write_text("<svg xmlns='http://www.w3.org/2000/svg' width='0' height='0'/>")
        page.select_option("#source", "own")
        page.click("#add-class")
        page.set_input_files(f"{last} input[type=file]", files)
        page.wait_for_function("document.getElementById('message').textContent.includes('empty.svg')")
    said = page.inner_text("#message")
    faults += [f"it does not say that {name} is refused" for name in ("damaged.png", "again.png") if name not in said]
    for step, count in (("", 2), (f"{last} .picture", 1), ("#undo", 2)):
        if step:
            page.click(step)
        if page.locator(f"{last} .picture").count() != count:
            faults.append(f"after {step or 'two good pictures'} it has not {count} examples")
    page.wait_for_function(ANSWERED.format("1"), timeout=120_000)
    return faults


def check_question(page) -> list[str]:
    """Draw a dot, rename the class and add the drawing with one click; then the heads must know it again."""
    page.click("#ask-drawing")
    faults = [] if "empty" in page.inner_text("#message") else ["it takes an empty drawing"]
    page.locator("#drawing").click()
    last = "#classes .card:last-child"
    page.fill(f"{last} input:not([type])", "dot")
    page.click(f"{last} [data-key$=drawn]")
    page.wait_for_function(ANSWERED.format("2"), timeout=120_000)
    page.click("#ask-drawing")
    page.wait_for_selector("#reply:not([hidden])")
    first = page.locator("#said strong").all_inner_texts()
    if len(first) != 3 or not all(text.startswith("dot ") for text in first):
        faults.append(f"asked about an example of the class dot, the heads say {first}")
    return faults


def check_many_clicks(page) -> list[str]:
    """Remove and add an example ten thousand times; then the page must still answer."""
    script = f"""() => {{
      for (let n = 0; n < {CLICKS}; n++) {{
        const card = document.querySelector("#classes .card:last-child");
        const target = n % 2 ? card.querySelector("[data-key$=drawn]") : card.querySelector(".picture:last-child");
        target.click();
      }}
      return document.querySelectorAll("#classes .card:last-child .picture").length;
    }}"""
    left = page.evaluate(script)
    page.wait_for_function(ANSWERED.format("2"), timeout=120_000)
    return [] if left == 3 else [f"after {CLICKS:,} clicks it has {left} examples instead of 3"]

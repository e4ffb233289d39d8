// On a phone, wide figures scroll sideways (course.css): then the arrow keys must reach them, too.
function reachByKeyboard() {
  for (const output of document.querySelectorAll("div.cell_output")) {
    if (output.scrollWidth > output.clientWidth) output.tabIndex = 0;
    else output.removeAttribute("tabindex");
  }
}
window.addEventListener("load", reachByKeyboard);
window.addEventListener("resize", reachByKeyboard);

"use strict";
// The chart of the page, and the sentence that says what it shows.

const WAYS = {
  pretrained: { label: "features of the pretrained network", mark: "●", colour: "var(--first)", dash: "" },
  random: { label: "features of the same network with random weights", mark: "▲", colour: "var(--second)", dash: "8 4" },
  pixels: { label: "raw pixels", mark: "■", colour: "var(--third)", dash: "2 4" },
};
const percent = (value) => `${Math.round(100 * value)} %`;

/** Make an element of SVG. */
function draw(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function clearChart(text) {
  element("chart").replaceChildren();
  element("chart").setAttribute("aria-label", "no chart yet");
  element("answer").textContent = text;
}

/** Draw the axes; return the functions from a count and from an accuracy to a place. */
function drawAxes(chart, most, chance) {
  const x = (count) => 60 + (most > 1 ? ((count - 1) / (most - 1)) * 315 : 157), y = (accuracy) => 210 - 190 * accuracy;
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(draw("line", { x1: 60, x2: 375, y1: y(tick), y2: y(tick), class: "grid" }));
    chart.append(draw("text", { x: 54, y: y(tick) + 4, class: "tick end" }, percent(tick)));
  }
  for (let count = 1; count <= most; count += Math.ceil(most / 10)) {
    chart.append(draw("text", { x: x(count), y: 228, class: "tick middle" }, String(count)));
  }
  chart.append(draw("text", { x: 217, y: 246, class: "tick middle" }, "examples of each class that the head learns from"));
  chart.append(draw("text", { x: -115, y: 12, class: "tick middle", transform: "rotate(-90)" }, "accuracy"));
  chart.append(draw("line", { x1: 60, x2: 375, y1: y(chance), y2: y(chance), class: "chance" }));
  chart.append(draw("text", { x: 373, y: y(chance) + 13, class: "tick end" }, "guessing"));
  return { x, y };
}

/** Draw the curves of all ways; judging: how the accuracies are measured; notes: what else to say. */
function drawCurves(curves, classCount, judging, notes) {
  const chart = element("chart"), most = curves.pretrained.at(-1).count;
  chart.replaceChildren();
  const { x, y } = drawAxes(chart, most, 1 / classCount);
  for (const [way, { mark, colour, dash }] of Object.entries(WAYS)) {
    const points = curves[way].map(({ count, accuracy }) => `${x(count)},${y(accuracy)}`).join(" ");
    const style = { fill: "none", style: `stroke: ${colour}`, "stroke-width": 2, "stroke-dasharray": dash };
    chart.append(draw("polyline", { points, ...style }));
    for (const { count, accuracy } of curves[way]) {
      chart.append(draw("text", { x: x(count), y: y(accuracy) + 4, class: "middle mark", style: `fill: ${colour}` }, mark));
    }
  }
  const reached = Object.entries(WAYS).map(([way, { label }]) => `${label} ${percent(curves[way].at(-1).accuracy)}`);
  const learned = `With ${most} example${most > 1 ? "s" : ""} of each class to learn from, ${judging}`;
  element("answer").textContent = [`${learned}: ${reached.join("; ")}. Guessing: ${percent(1 / classCount)}.`, ...notes].join(" ");
  chart.setAttribute("aria-label", `Three curves of accuracy. ${element("answer").textContent}`);
}

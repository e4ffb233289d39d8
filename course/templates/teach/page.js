"use strict";
// The page "Teach it yourself". DATA, written by course/site/teach.py, holds the network and the pictures of the course.

const SIDE = 32, MOST_CLASSES = 5, MOST_EXAMPLES = 20;
const WAYS = {
  pretrained: { label: "features of the pretrained network", mark: "●", colour: "var(--first)", dash: "" },
  random: { label: "features of the same network with random weights", mark: "▲", colour: "var(--second)", dash: "6 4" },
  pixels: { label: "raw pixels", mark: "■", colour: "var(--third)", dash: "2 4" },
};
const element = (id) => document.getElementById(id);
const state = { classes: [], gallery: [], gone: [], request: 0, pictures: 0, look: 0, camera: false };

/** Make an element with properties and children. */
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties)) if (name.includes("-")) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text) {
  element("message").textContent = text;
}

/** Start the worker from the text in the page: a page that is opened from a file may not load a script for one. */
function startWorker() {
  const code = ["network", "learning", "worker"].map((name) => element(`${name}-code`).textContent).join("\n");
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  worker.postMessage({ kind: "start", network: DATA.network });
  worker.onmessage = ({ data }) => {
    if (data.kind === "curves" && data.request === state.request) drawCurves(data.curves);
    if (data.kind === "look" && data.request === state.look) drawLook(data);
  };
  worker.onerror = (event) => say(`Something went wrong in the page: ${event.message}. Please load it again.`);
  return worker;
}
const worker = startWorker();

/** Give a picture to the worker; return {id, url, pixels}. source: an image, a video or a canvas. */
function addPicture(source, width, height) {
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const side = Math.min(width, height); // the square in its middle
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind transparent pictures
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  return keepPicture(context.getImageData(0, 0, SIDE, SIDE).data, canvas.toDataURL());
}

function keepPicture(rgba, url) {
  const pixels = new Uint8Array(SIDE * SIDE * 3);
  for (let place = 0; place < SIDE * SIDE; place++) {
    for (let colour = 0; colour < 3; colour++) pixels[3 * place + colour] = rgba[4 * place + colour];
  }
  const picture = { id: ++state.pictures, url };
  worker.postMessage({ kind: "picture", id: picture.id, pixels });
  return picture;
}

/** Cut the pictures of the course out of their sheet: for each class, those to learn from and those to judge by. */
async function readGallery() {
  const sheet = new Image();
  sheet.src = DATA.sheet;
  await sheet.decode();
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return DATA.classes.map((name, row) => {
    const pictures = [];
    for (let column = 0; column < DATA.examples + DATA.held; column++) {
      context.drawImage(sheet, column * SIDE, row * SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE);
      pictures.push(keepPicture(context.getImageData(0, 0, SIDE, SIDE).data, canvas.toDataURL()));
    }
    return { name, examples: pictures.slice(0, DATA.examples), held: pictures.slice(DATA.examples) };
  });
}

// The classes --------------------------------------------------------------------------------------------------------

function addClass(source) {
  if (state.classes.length >= MOST_CLASSES) return say(`${MOST_CLASSES} classes are the most that this page takes.`);
  if (source && state.classes.some((each) => each.source === source)) return say(`${source.name} is a class already.`);
  const taken = new Set(state.classes.map((each) => each.name));
  let number = 1;
  while (taken.has(`my class ${number}`)) number++;
  const name = source ? source.name : `my class ${number}`;
  state.classes.push({ name, source, examples: [] });
  showClasses();
}

/** Note that an example is gone; the pictures of the course stay. */
function forget(each, picture) {
  if (!each.source?.examples.includes(picture)) state.gone.push(picture.id);
}

function removeClass(each) {
  each.examples.forEach((picture) => forget(each, picture));
  state.classes = state.classes.filter((other) => other !== each);
  say(`${each.name} is removed.`);
  showClasses();
}

function addExample(each, picture) {
  if (each.examples.length >= MOST_EXAMPLES) return say(`${each.name} has ${MOST_EXAMPLES} examples, the most it can have.`);
  each.examples.push(picture);
  say(`${each.name}: ${each.examples.length} examples.`);
  showClasses();
}

function addFromCourse(each) {
  const left = each.source.examples.find((picture) => !each.examples.includes(picture));
  if (left) addExample(each, left);
  else say(`The course has no more pictures of ${each.name} to learn from.`);
}

/** Read pictures from files; a damaged one is named, and the others are taken. */
async function addFiles(each, files) {
  const damaged = [];
  for (const file of files) {
    const image = new Image(), url = URL.createObjectURL(file);
    image.src = url;
    try {
      await image.decode();
      if (each.examples.length < MOST_EXAMPLES) {
        each.examples.push(addPicture(image, image.naturalWidth, image.naturalHeight));
      }
    } catch {
      damaged.push(file.name);
    }
    URL.revokeObjectURL(url);
  }
  if (damaged.length) say(`Not a picture that this browser can read: ${damaged.join(", ")}.`);
  else say(`${each.name}: ${each.examples.length} examples.`);
  showClasses();
}

function showClasses() {
  const focused = document.activeElement?.dataset?.key; // the list is made anew: keep the place of the keyboard
  element("classes").replaceChildren(...state.classes.map(classCard));
  element("add-class").disabled = state.classes.length >= MOST_CLASSES;
  if (focused) {
    const [position] = focused.split("-"), place = (key) => document.querySelector(`[data-key="${key}"]`);
    (place(focused) ?? place(`${position}-name`) ?? element("add-class")).focus();
  }
  askForCurves();
}

function classCard(each, position) {
  const key = (what) => ({ "data-key": `${position}-${what}` });
  const button = (what, text, action) => make("button", { type: "button", onclick: action, ...key(what) }, text);
  const name = make("input", { value: each.name, "aria-label": `name of class ${position + 1}`, ...key("name") });
  name.onchange = () => {
    each.name = name.value.trim() || each.name;
    showClasses();
  };
  const label = { "aria-label": `pictures for ${each.name}` };
  const files = make("input", { type: "file", accept: "image/*", multiple: true, ...label, ...key("files") });
  files.onchange = () => addFiles(each, [...files.files]);
  const pictures = each.examples.map((picture, n) => {
    const remove = () => {
      forget(each, picture);
      each.examples.splice(n, 1);
      say(`${each.name}: ${each.examples.length} examples.`);
      showClasses();
    };
    const image = make("img", { src: picture.url, alt: "", width: 40, height: 40 });
    const labels = { title: "remove", "aria-label": `remove example ${n + 1} of ${each.name}` };
    return make("button", { type: "button", className: "picture", onclick: remove, ...labels, ...key(`picture-${n}`) }, image);
  });
  const card = make("section", { className: "card", "aria-label": each.name });
  card.append(name, make("div", { className: "pictures" }, ...pictures));
  const row = make("div", { className: "row" });
  if (each.source) row.append(button("more", "Add a picture of the course", () => addFromCourse(each)));
  row.append(button("drawn", "Add the drawing", () => addExample(each, addPicture(element("drawing"), 256, 256))));
  if (state.camera) row.append(button("camera", "Add from the camera", () => addFromCamera(each)));
  row.append(button("gone", `Remove ${each.name}`, () => removeClass(each)));
  card.append(row, make("label", { className: "files" }, "Your pictures: ", files));
  card.ondragover = (event) => event.preventDefault();
  card.ondrop = (event) => {
    event.preventDefault();
    addFiles(each, [...event.dataTransfer.files]);
  };
  return card;
}

function addFromCamera(each) {
  const video = element("video");
  if (video.videoWidth) addExample(each, addPicture(video, video.videoWidth, video.videoHeight));
}

async function startCamera() {
  try {
    element("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 320 } });
    element("video").hidden = false;
    state.camera = true;
    say("The camera runs. Its pictures stay in this page.");
    showClasses();
  } catch (error) {
    say(`The camera cannot be used: ${error.message}.`);
  }
}

// The chart ----------------------------------------------------------------------------------------------------------

function askForCurves() {
  const ready = state.classes.filter((each) => each.examples.length > 0);
  const ids = (pictures) => pictures.map((picture) => picture.id);
  const classes = ready.map((each) => ({ examples: ids(each.examples), held: each.source ? ids(each.source.held) : [] }));
  worker.postMessage({ kind: "curves", request: ++state.request, classes, gone: state.gone });
  state.gone = [];
  element("answer").textContent = "Training …";
  if (ready.length >= 2) return;
  element("chart").replaceChildren();
  element("answer").textContent = "Give at least two classes one example each.";
}

/** Make an element of SVG. */
function draw(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function drawCurves(curves) {
  const ready = state.classes.filter((each) => each.examples.length > 0);
  const most = curves.pretrained.length, chart = element("chart"), chance = 1 / ready.length;
  const x = (count) => 45 + (most > 1 ? ((count - 1) / (most - 1)) * 330 : 165), y = (accuracy) => 210 - 190 * accuracy;
  chart.replaceChildren();
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(draw("line", { x1: 45, x2: 375, y1: y(tick), y2: y(tick), class: "grid" }));
    chart.append(draw("text", { x: 38, y: y(tick) + 4, class: "tick end" }, tick.toFixed(2)));
  }
  for (let count = 1; count <= most; count += Math.ceil(most / 10)) {
    chart.append(draw("text", { x: x(count), y: 228, class: "tick middle" }, String(count)));
  }
  chart.append(draw("line", { x1: 45, x2: 375, y1: y(chance), y2: y(chance), class: "chance" }));
  chart.append(draw("text", { x: 210, y: 246, class: "tick middle" }, "examples of each class"));
  for (const [way, { mark, colour, dash }] of Object.entries(WAYS)) {
    const points = curves[way].map((accuracy, n) => [x(n + 1), accuracy]).filter(([, accuracy]) => accuracy !== null);
    const line = points.map(([at, accuracy]) => `${at},${y(accuracy)}`).join(" ");
    const style = { fill: "none", style: `stroke: ${colour}`, "stroke-width": 2, "stroke-dasharray": dash };
    chart.append(draw("polyline", { points: line, ...style }));
    for (const [at, accuracy] of points) {
      chart.append(draw("text", { x: at, y: y(accuracy) + 4, class: "middle mark", style: `fill: ${colour}` }, mark));
    }
  }
  const last = (way) => curves[way].at(-1), percent = (value) => (value === null ? "not known" : `${Math.round(100 * value)} %`);
  const judged = ready.some((each) => each.source)
    ? "on pictures that it has not learned from"
    : "each example judged by a head that has not seen it";
  const uneven = ready.some((each) => each.examples.length > most);
  element("answer").textContent = `With ${most} example${most > 1 ? "s" : ""} of each class, ${judged}: `
    + Object.entries(WAYS).map(([way, { label }]) => `${label} ${percent(last(way))}`).join("; ")
    + `. Guessing: ${percent(chance)}.`
    + (uneven ? " The class with the fewest examples says how far the curve goes." : "");
  chart.setAttribute("aria-label", element("answer").textContent);
}

// Looking inside -----------------------------------------------------------------------------------------------------

function fillLook() {
  const select = element("look");
  state.gallery.forEach((each, k) => {
    const group = make("optgroup", { label: each.name });
    each.held.slice(0, 5).forEach((picture, n) => group.append(make("option", { value: `${k}-${n}` }, `${each.name} ${n + 1}`)));
    select.append(group);
  });
  select.onchange = look;
  look();
}

function look() {
  const [k, n] = element("look").value.split("-").map(Number), picture = state.gallery[k].held[n];
  const others = state.gallery.flatMap((each) => each.examples).map((each) => each.id);
  element("looked-at").src = picture.url;
  worker.postMessage({ kind: "look", request: ++state.look, id: picture.id, others });
}

/** Paint one channel of maps, dark to light. */
function paintChannel({ side, channels, values }, channel) {
  const canvas = make("canvas", { width: side, height: side, className: "map" });
  const context = canvas.getContext("2d"), image = context.createImageData(side, side);
  for (let place = 0; place < side * side; place++) {
    const grey = (values[place * channels + channel] / 6) * 255;
    image.data.set([grey, grey, grey, 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Return the channels that differ most from place to place. */
function liveliest({ side, channels, values }, count) {
  const spread = Array.from({ length: channels }, (_, channel) => {
    let sum = 0, squares = 0;
    for (let place = 0; place < side * side; place++) {
      sum += values[place * channels + channel];
      squares += values[place * channels + channel] ** 2;
    }
    return squares / side ** 2 - (sum / side ** 2) ** 2;
  });
  return spread.map((_, channel) => channel).sort((a, b) => spread[b] - spread[a]).slice(0, count);
}

function drawLook({ blocks, alike }) {
  element("blocks").replaceChildren(...blocks.map((maps, n) => {
    const shown = liveliest(maps, 8).map((channel) => paintChannel(maps, channel));
    const title = `block ${n}: ${maps.channels} maps of ${maps.side} × ${maps.side}`;
    const maps8 = make("div", { className: "maps", role: "img", "aria-label": `eight of the maps of ${title}` }, ...shown);
    return make("figure", {}, make("figcaption", {}, title), maps8);
  }));
  const named = new Map();
  for (const each of state.gallery) for (const picture of each.examples) named.set(picture.id, { picture, name: each.name });
  element("alike").replaceChildren(...alike.slice(0, 6).map(({ id, similarity }) => {
    const { picture, name } = named.get(id);
    const image = make("img", { src: picture.url, alt: "", width: 48, height: 48 });
    return make("li", {}, image, ` ${name}, ${similarity.toFixed(2)}`);
  }));
}

// The start ----------------------------------------------------------------------------------------------------------

function clearDrawing() {
  const context = element("drawing").getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, 256, 256);
}

function prepareDrawing() {
  const canvas = element("drawing"), context = canvas.getContext("2d");
  Object.assign(context, { lineWidth: 14, lineCap: "round", lineJoin: "round" });
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 256, ((event.clientY - box.top) / box.height) * 256];
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    context.strokeStyle = element("colour").value;
    context.beginPath();
    context.moveTo(...place(event));
  };
  canvas.onpointermove = (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    context.lineTo(...place(event));
    context.stroke();
  };
  clearDrawing();
}

function showMe() {
  state.classes.forEach((each) => each.examples.forEach((picture) => forget(each, picture)));
  state.classes = DATA.shown.map((k) => {
    const source = state.gallery[k];
    return { name: source.name, source, examples: source.examples.slice(0, 5) };
  });
  say("Three classes with five examples each.");
  showClasses();
}

async function start() {
  prepareDrawing();
  state.gallery = await readGallery();
  const source = element("source");
  state.gallery.forEach((each, k) => source.append(make("option", { value: k }, each.name)));
  element("add-class").onclick = () => addClass(source.value === "own" ? null : state.gallery[Number(source.value)]);
  element("show-me").onclick = showMe;
  element("clear").onclick = clearDrawing;
  element("start-camera").hidden = !navigator.mediaDevices?.getUserMedia;
  element("start-camera").onclick = startCamera;
  showClasses();
  fillLook();
  document.body.dataset.ready = "yes";
}
start();

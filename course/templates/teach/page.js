"use strict";
// The page "Teach it yourself": its classes and what happens when they change. DATA, written by course/site/teach.py,
// holds the network and the pictures of the course.

const MOST_CLASSES = 5, MOST_EXAMPLES = 20;
// A class is {name, source, examples}; source: the class of the course that it is, or null for one of the reader's own.
const state = { classes: [], before: null, gallery: [], curves: 0, asked: 0 };

const ready = () => state.classes.filter((each) => each.examples.length > 0);
const ids = (pictures) => pictures.map((picture) => picture.id);
const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

worker.onmessage = ({ data }) => {
  if (data.kind === "error") sayFault(data);
  if (data.kind === "look") drawLook(state.gallery, data);
  if (data.kind === "ask" && data.request === state.asked) showAnswer(data.probabilities);
  if (data.request !== state.curves) return;
  if (data.kind === "progress") element("progress").value = data.done;
  if (data.kind === "curves") showCurves(data.curves);
};

// Changes of the classes ---------------------------------------------------------------------------------------------

/** Keep the classes as they are, so that "Undo" can bring them back. */
function remember() {
  state.before = state.classes.map((each) => ({ ...each, examples: [...each.examples] }));
}

function undo() {
  if (!state.before) return say("There is nothing to undo.");
  [state.classes, state.before] = [state.before, null];
  say("The classes are as they were before.");
  showClasses();
}

function addClass(source) {
  if (state.classes.length >= MOST_CLASSES) return say(`${MOST_CLASSES} classes are the most that this page takes.`);
  if (source && state.classes.some((each) => each.source === source)) return say(`${source.name} is a class already.`);
  let number = 1;
  while (state.classes.some((each) => each.name === `my class ${number}`)) number++;
  const name = source ? source.name : `my class ${number}`;
  state.classes.push({ name, source, examples: [] });
  if (!source) element("tools").open = true;
  say(source ? `${name} is added: give it pictures.` : `${name} is added: draw, choose files or drop them on it.`);
  showClasses();
}

function removeClass(each) {
  remember();
  state.classes = state.classes.filter((other) => other !== each);
  say(`${each.name} is removed.`);
  showClasses();
}

function removeExample(each, place) {
  remember();
  each.examples.splice(place, 1);
  say(`${each.name}: ${counted(each.examples.length, "example")}.`);
  showClasses();
}

/** Add an example; return why it is not taken, or "". A picture that is there twice would judge itself. */
function takeExample(each, picture) {
  const holder = state.classes.find((other) => other.examples.includes(picture));
  if (holder) return `is an example of ${holder.name} already`;
  if (each.examples.length >= MOST_EXAMPLES) return `does not fit: ${MOST_EXAMPLES} examples are the most of a class`;
  each.examples.push(picture);
  return "";
}

function addExample(each, picture) {
  if (!picture) return;
  const reason = takeExample(each, picture);
  say(reason ? `This picture ${reason}.` : `${each.name}: ${counted(each.examples.length, "example")}.`);
  showClasses();
}

function addFromCourse(each) {
  const left = each.source.examples.find((picture) => !each.examples.includes(picture));
  if (left) addExample(each, left);
  else say(`The course has no more pictures of ${each.name} to learn from.`);
}

/** Read pictures from files; those that are not taken are named, each with the reason. */
async function addFiles(each, files) {
  const refused = [];
  for (const file of files) {
    const picture = await pictureInFile(file);
    if (!state.classes.includes(each)) return say(`${each.name} is gone: its files are not taken.`);
    const reason = picture ? takeExample(each, picture) : "is not a picture that this browser can read";
    if (reason) refused.push(`${file.name} ${reason}`);
  }
  say([`${each.name}: ${counted(each.examples.length, "example")}`, ...refused].join(". ") + ".");
  showClasses();
}

function rename(each, field) {
  const name = field.value.trim();
  if (name && !state.classes.some((other) => other !== each && other.name === name)) each.name = name;
  else say(name ? `Another class has the name ${name}.` : "A class needs a name.");
  field.value = each.name;
}

function showMe() {
  if (state.classes.length) remember();
  state.classes = DATA.shown.map((k) => {
    const source = state.gallery[k];
    return { name: source.name, source, examples: source.examples.slice(0, 5) };
  });
  say("Three classes with five examples each." + (state.before ? " “Undo” brings yours back." : ""));
  showClasses();
}

// What the page shows of them ----------------------------------------------------------------------------------------

function showClasses() {
  const focused = document.activeElement?.dataset?.key; // the list is made anew: keep the place of the keyboard
  element("classes").replaceChildren(...state.classes.map(classCard));
  if (focused) placeNear(focused).focus();
  askForCurves();
}

/** Return what has a key, or else what is nearest to it: the picture before, the same card, the one before. */
function placeNear(key) {
  const [card, what, number] = key.split("-"), cards = element("classes").children;
  const near = cards[card] ?? cards[cards.length - 1];
  const find = (wanted) => document.querySelector(`[data-key="${wanted}"]`);
  return find(key) ?? find(`${card}-${what}-${number - 1}`) ?? near?.querySelector("input, button") ?? element("add-class");
}

function classCard(each, position) {
  const key = (what) => ({ "data-key": `${position}-${what}` });
  const button = (what, text, action, className = "") =>
    make("button", { type: "button", onclick: action, className, ...key(what) }, text);
  const pictures = each.examples.map((picture, n) => {
    const image = make("img", { src: picture.url, alt: "", width: 40, height: 40 });
    const labels = { title: "remove", "aria-label": `remove example ${n + 1} of class ${position + 1}` };
    const properties = { type: "button", className: "picture", onclick: () => removeExample(each, n), ...labels };
    return make("button", { ...properties, ...key(`picture-${n}`) }, image);
  });
  const gone = button("gone", "Remove the class", () => removeClass(each));
  const card = make("section", { className: "card", "aria-label": `class ${position + 1}` });
  if (each.source) {
    const more = button("more", "Add a picture of the course", () => addFromCourse(each));
    card.append(make("h3", {}, each.name), make("div", { className: "pictures" }, ...pictures));
    card.append(make("div", { className: "row" }, more, gone));
    return card;
  }
  const name = make("input", { value: each.name, maxLength: 30, "aria-label": `name of class ${position + 1}`, ...key("name") });
  name.onchange = () => rename(each, name);
  const files = make("input", { type: "file", accept: "image/*", multiple: true, ...key("files") });
  files.onchange = () => addFiles(each, [...files.files]);
  card.append(name, make("div", { className: "pictures" }, ...pictures));
  const row = make("div", { className: "row" });
  row.append(button("drawn", "Add the drawing", () => addExample(each, pictureOfDrawing())));
  row.append(button("camera", "Add what the camera sees", () => addExample(each, pictureOfCamera()), "with-camera"), gone);
  card.append(row, make("label", { className: "files" }, "Your pictures: ", files));
  card.ondrop = (event) => addFiles(each, [...event.dataTransfer.files]);
  return card;
}

function askForCurves() {
  const classes = ready().map((each) => ({ examples: ids(each.examples), held: each.source ? ids(each.source.held) : [] }));
  worker.postMessage({ kind: "curves", request: ++state.curves, classes });
  element("progress").hidden = classes.length < 2;
  element("progress").value = 0;
  if (classes.length < 2) clearChart("Give at least two classes an example each.");
  else element("answer").textContent = "Training …";
}

function showCurves(curves) {
  element("progress").hidden = true;
  const classes = ready(), sizes = classes.map((each) => each.examples.length), own = classes.filter((each) => !each.source);
  if (!curves.pretrained.length) {
    return clearChart("Give each class two examples: a class of your own is judged by pictures that are left out.");
  }
  const held = `on ${DATA.held} other pictures of each`, leftOut = "each of your pictures judged by a head that has not seen it";
  const judging = !own.length ? held : own.length === classes.length ? leftOut : `classes of the course ${held}, ${leftOut}`;
  const notes = [];
  if (Math.max(...sizes) > Math.min(...sizes)) notes.push("All classes get as many examples as the smallest one has.");
  const empty = state.classes.filter((each) => !each.examples.length).map((each) => each.name);
  if (empty.length) notes.push(`Without an example, and so not in the chart: ${empty.join(", ")}.`);
  drawCurves(curves, classes.length, judging, notes);
}

// Questions ----------------------------------------------------------------------------------------------------------

/** Ask the three heads what a picture shows. */
function ask(picture) {
  const classes = ready();
  if (!picture) return;
  if (classes.length < 2) return say("Teach it first: at least two classes with an example each.");
  state.names = classes.map((each) => each.name);
  element("asked").src = picture.url;
  worker.postMessage({ kind: "ask", request: ++state.asked, id: picture.id, classes: classes.map((each) => ({ examples: ids(each.examples) })) });
}

function showAnswer(probabilities) {
  element("reply").hidden = false;
  element("said").replaceChildren(...Object.entries(WAYS).map(([way, { label }]) => {
    const order = probabilities[way].map((_, k) => k).sort((a, b) => probabilities[way][b] - probabilities[way][a]);
    const said = order.slice(0, 3).map((k) => `${state.names[k]} ${percent(probabilities[way][k])}`);
    return make("li", {}, `${label}: `, make("strong", {}, said[0]), said.slice(1).map((text) => `, ${text}`).join(""));
  }));
}

async function askAboutFile(field) {
  const file = field.files[0], picture = file && (await pictureInFile(file));
  if (file && !picture) say(`${file.name} is not a picture that this browser can read.`);
  ask(picture);
  field.value = "";
}

// The start ----------------------------------------------------------------------------------------------------------

async function start() {
  prepareDrawing();
  state.gallery = await readGallery();
  const source = element("source");
  state.gallery.forEach((each, k) => source.append(make("option", { value: k }, each.name)));
  element("add-class").onclick = () => addClass(source.value === "own" ? null : state.gallery[Number(source.value)]);
  element("show-me").onclick = showMe;
  element("undo").onclick = undo;
  element("switch-camera").hidden = !navigator.mediaDevices?.getUserMedia;
  element("switch-camera").onclick = switchCamera;
  element("ask-drawing").onclick = () => ask(pictureOfDrawing());
  element("ask-camera").onclick = () => ask(pictureOfCamera());
  element("ask-file").onchange = () => askAboutFile(element("ask-file"));
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault(); // without this, the browser would leave the page for the file
    if (!event.target.closest?.(".card")?.ondrop) say("Drop pictures on a class of your own.");
  };
  showClasses();
  fillLook(state.gallery);
  document.body.dataset.ready = "yes";
}
start().catch(sayFault);

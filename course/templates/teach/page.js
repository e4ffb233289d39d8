"use strict";
// The page "Teach it yourself": its classes and what happens when they change. DATA, written by course/site/teach.py,
// holds the network and the pictures of the course.

const MOST_CLASSES = 5, MOST_EXAMPLES = 20;
// A class is {id, name, source, examples}; source: the class of the course that it is, or null for one of the reader's own.
const state = { classes: [], past: [], made: 0, gallery: [], curves: 0, asked: 0 };

const ready = () => state.classes.filter((each) => each.examples.length > 0);
const ids = (pictures) => pictures.map((picture) => picture.id);
const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function listen({ data }) {
  if (data.kind === "error") sayFault(data);
  if (data.kind === "look") drawLook(state.gallery, data);
  if (data.kind === "ask" && data.request === state.asked) showAnswer(data.probabilities);
  if (data.request !== state.curves) return;
  if (data.kind === "progress") element("progress").value = data.done;
  if (data.kind === "curves") showCurves(data.curves);
}

// Changes of the classes ---------------------------------------------------------------------------------------------

const MOST_PAST = 200;

/** Keep the classes as they are, before a change, so that "Undo" can bring them back. */
function remember() {
  state.past.push(state.classes.map((each) => ({ ...each, examples: [...each.examples] })));
  if (state.past.length > MOST_PAST) state.past.shift();
}

function undo() {
  if (!state.past.length) return say("There is nothing to undo.");
  state.classes = state.past.pop();
  say("The last change is taken back.");
  showClasses();
}

/** Return the other class that has a name, whatever the case of its letters. */
function namesake(name, each = null) {
  return state.classes.find((other) => other !== each && other.name.toLowerCase() === name.toLowerCase());
}

function addClass(source) {
  if (state.classes.length >= MOST_CLASSES) return say(`${MOST_CLASSES} classes are the most that this page takes.`);
  if (source && state.classes.some((each) => each.source === source)) return say(`${source.name} is a class already.`);
  let number = 1;
  while (namesake(`my class ${number}`)) number++;
  const name = source ? source.name : `my class ${number}`;
  if (namesake(name)) return say(`A class of yours has the name ${name}: rename it first.`);
  remember();
  state.classes.push({ id: ++state.made, name, source, examples: [] });
  if (!source) element("tools").open = true;
  say(source ? `${name} is added: give it pictures.` : `${name} is added: draw and press “Add the drawing”, or choose files.`);
  showClasses();
}

function removeClass(each) {
  remember();
  state.classes = state.classes.filter((other) => other !== each);
  say(`${each.name} is removed.`);
  showClasses();
  element("undo").focus(); // not on another button that removes
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
  remember();
  const reason = takeExample(each, picture);
  if (reason) state.past.pop(); // nothing has changed
  say(reason ? `This picture ${reason}.` : `${each.name}: ${counted(each.examples.length, "example")}.`);
  showClasses();
}

function addFromCourse(each) {
  const left = each.source.examples.find((picture) => !each.examples.includes(picture));
  if (left) addExample(each, left);
  else say(`The course has no more pictures of ${each.name} to learn from.`);
}

/** Read pictures from files; those that are not taken are named, a few for each reason. */
async function addFiles({ id, name }, files) {
  const refused = new Map(); // reason -> names
  say(`Reading ${counted(files.length, "file")} …`);
  remember();
  for (const file of files) {
    const picture = await pictureInFile(file);
    const each = state.classes.find((other) => other.id === id); // "Undo" may have brought another state of it
    if (!each) return say(`${name} is gone: its files are not taken.`);
    const reason = picture ? takeExample(each, picture) : "is not a picture that this browser can read";
    if (reason) refused.set(reason, [...(refused.get(reason) ?? []), file.name]);
  }
  const each = state.classes.find((other) => other.id === id);
  const reasons = [...refused].map(([reason, names]) => {
    const more = names.length > 3 ? ` (and ${names.length - 3} more, for the same reason)` : "";
    return `${names.slice(0, 3).join(", ")} ${reason}${more}`;
  });
  say([`${each.name}: ${counted(each.examples.length, "example")}`, ...reasons].join(". ") + ".");
  showClasses();
}

/** Take the name in a field; before: the one to go back to if it is empty or taken. */
function rename(each, field, before) {
  const name = field.value.trim(), fits = name && !namesake(name, each), chosen = fits ? name : before;
  if (!fits) say(name ? `Another class has the name ${name}.` : "A class needs a name.");
  each.name = before;
  if (chosen !== before) remember();
  each.name = field.value = chosen;
  element("reply").hidden = true;
  askForCurves(); // what it says may name the class
}

function showMe() {
  const own = state.classes.some((each) => !each.source);
  remember();
  state.classes = DATA.shown.map((k) => {
    const source = state.gallery[k];
    return { id: ++state.made, name: source.name, source, examples: source.examples.slice(0, 5) };
  });
  say("Three classes with five examples each." + (own ? " “Undo” brings yours back." : ""));
  showClasses();
}

// What the page shows of them ----------------------------------------------------------------------------------------

function showClasses() {
  const focused = document.activeElement?.dataset?.key; // the list is made anew: keep the place of the keyboard
  element("classes").replaceChildren(...state.classes.map(classCard));
  if (focused) placeNear(focused).focus();
  element("reply").hidden = true; // it was about other classes
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
    const remove = (event) => event.detail < 2 && removeExample(each, n); // a double click is meant for one picture
    const properties = { type: "button", className: "picture", onclick: remove, ...labels };
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
  const before = each.name;
  name.oninput = () => { each.name = name.value; }; // so that it is kept if the cards are made anew meanwhile
  name.onchange = () => rename(each, name, before);
  const files = make("input", { type: "file", accept: "image/*", multiple: true, ...key("files") });
  files.onchange = () => addFiles(each, [...files.files]);
  card.append(name, make("div", { className: "pictures" }, ...pictures));
  const row = make("div", { className: "row" });
  row.append(button("drawn", "Add the drawing", () => addExample(each, pictureOfDrawing())));
  row.append(button("camera", "Add what the camera sees", () => addExample(each, pictureOfCamera()), "with-camera"), gone);
  card.append(row, make("label", { className: "files" }, "Your pictures: ", files));
  card.ondrop = (event) => event.target !== files && addFiles(each, [...event.dataTransfer.files]);
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
  const fewest = Math.min(...sizes), held = `on ${DATA.held} other pictures of each`;
  const leftOut = `on ${fewest} pictures of each, each judged by a head that has not seen it`;
  const judging = !own.length ? held : own.length === classes.length ? leftOut : `the course's ${held}, yours ${leftOut}`;
  const notes = [];
  if (Math.max(...sizes) > fewest) notes.push(`Of each class, only the first ${fewest} pictures are used here.`);
  if (own.length && own.length < classes.length) {
    notes.push("Your pictures look unlike those of the course in more than their class: that makes them easy to tell apart.");
  }
  const empty = state.classes.filter((each) => !each.examples.length).map((each) => each.name);
  if (empty.length) notes.push(`Without an example, and so not in the chart: ${empty.join(", ")}.`);
  drawCurves(curves, classes.length, judging, notes);
}

// Questions ----------------------------------------------------------------------------------------------------------

/** Ask the three heads what a picture shows. */
function ask(picture) {
  const classes = ready();
  element("reply").hidden = true;
  if (!picture) return;
  if (classes.length < 2) return say("Teach it first: at least two classes with an example each.");
  state.names = classes.map((each) => each.name);
  element("asked").src = picture.url;
  const holder = classes.find((each) => each.examples.includes(picture));
  element("learned").textContent = holder ? `This picture is an example of ${holder.name}: the heads have learned from it. ` : "";
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
  worker = startWorker();
  worker.onmessage = listen;
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
  const isField = (event) => event.target.type === "file"; // it takes files itself
  document.ondragover = (event) => isField(event) || event.preventDefault();
  document.ondrop = (event) => {
    if (isField(event)) return;
    event.preventDefault(); // without this, the browser would leave the page for the file
    if (!event.target.closest?.(".card")?.ondrop) say("Drop pictures on a class of your own.");
  };
  window.onbeforeunload = () => (state.classes.some((each) => !each.source && each.examples.length) ? true : undefined);
  showClasses();
  fillLook(state.gallery);
  document.body.dataset.ready = "yes";
}
start().catch(sayFault);

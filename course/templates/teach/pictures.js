"use strict";
// The pictures of the page: from files, from the drawing, from the camera, and from the course.

const SIDE = 32;
const element = (id) => document.getElementById(id);

/** Make an element with properties, attributes (those with a "-" in their name, and role) and children. */
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties)) if (/-|^role$/.test(name)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text) {
  element("message").textContent = text;
}

function sayFault(error) {
  say(`Something went wrong in the page: ${error.message}. Please load it again.`);
  element("progress").hidden = true;
  element("answer").textContent = "Not trained: see the message.";
}

/** Start the worker from the text in the page: a page that is opened from a file may not load a script for one. */
function startWorker() {
  const code = ["network", "learning", "worker"].map((name) => element(`${name}-code`).textContent).join("\n");
  const made = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  made.onerror = sayFault;
  made.postMessage({ kind: "start", network: DATA.network });
  return made;
}
let worker = null;

const known = new Map(); // what a picture looks like -> the picture {id, url}

/** Return the picture of a canvas of SIDE x SIDE pixels; the worker is given each different one once. */
function keepPicture(canvas) {
  const url = canvas.toDataURL();
  if (known.has(url)) return known.get(url);
  const rgba = canvas.getContext("2d").getImageData(0, 0, SIDE, SIDE).data;
  const picture = { id: known.size, url };
  known.set(url, picture);
  worker.postMessage({ kind: "picture", id: picture.id, pixels: rgba.filter((_, n) => n % 4 < 3) });
  return picture;
}

function smallCanvas() {
  const canvas = make("canvas", { width: SIDE, height: SIDE }), context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind transparent pictures
  context.fillRect(0, 0, SIDE, SIDE);
  return { canvas, context };
}

/** Return the square in the middle of an image, a video or a canvas as a picture. */
function pictureOf(source, width, height) {
  const { canvas, context } = smallCanvas(), side = Math.min(width, height);
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  return keepPicture(canvas);
}

/** Return the picture in a file, or null if this browser cannot read it. */
async function pictureInFile(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image.naturalWidth && image.naturalHeight ? pictureOf(image, image.naturalWidth, image.naturalHeight) : null;
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Cut the pictures of the course out of their sheet: for each class, those to learn from and those to judge by. */
async function readGallery() {
  const sheet = new Image();
  sheet.src = DATA.sheet;
  await sheet.decode();
  return DATA.classes.map((name, row) => {
    const pictures = Array.from({ length: DATA.examples + DATA.held }, (_, column) => {
      const { canvas, context } = smallCanvas();
      context.drawImage(sheet, column * SIDE, row * SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE);
      return keepPicture(canvas);
    });
    return { name, examples: pictures.slice(0, DATA.examples), held: pictures.slice(DATA.examples) };
  });
}

// The drawing --------------------------------------------------------------------------------------------------------

let drawn = false; // whether the drawing holds anything

function clearDrawing() {
  const context = element("drawing").getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, 256, 256);
  drawn = false;
}

function prepareDrawing() {
  const canvas = element("drawing"), context = canvas.getContext("2d");
  Object.assign(context, { lineWidth: 14, lineCap: "round", lineJoin: "round" });
  let last = null;
  const drawTo = (event) => {
    const box = canvas.getBoundingClientRect();
    const place = [((event.clientX - box.left) / box.width) * 256, ((event.clientY - box.top) / box.height) * 256];
    context.beginPath();
    context.moveTo(...(last ?? place));
    context.lineTo(...place); // a line to where it is: a dot
    context.stroke();
    [last, drawn] = [place, true];
  };
  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    context.strokeStyle = element("colour").value;
    last = null;
    drawTo(event);
  };
  canvas.onpointermove = (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drawTo(event);
  };
  element("clear").onclick = clearDrawing;
  clearDrawing();
}

/** Return the drawing as a picture, or null, with a message, if nothing is drawn. */
function pictureOfDrawing() {
  if (drawn) return pictureOf(element("drawing"), 256, 256);
  element("tools").open = true;
  say("The drawing is empty: draw something first, under “Draw, or use the camera”.");
  return null;
}

// The camera ---------------------------------------------------------------------------------------------------------

/** Start the camera, or stop it; the page shows what needs it only while it runs. */
async function switchCamera() {
  const video = element("video"), button = element("switch-camera");
  if (video.srcObject) {
    video.srcObject.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    say("The camera is off.");
  } else {
    button.disabled = true; // until the browser has answered: a second click would start a second stream
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 256, height: 256 } });
      say("The camera is on. Its pictures stay in this page.");
    } catch (error) {
      say(`The camera cannot be used: ${error.message}. Files and drawings work without it.`);
    }
  }
  const on = Boolean(video.srcObject);
  button.disabled = false;
  video.hidden = !on;
  button.textContent = on ? "Stop the camera" : "Start the camera";
  document.body.classList.toggle("camera", on);
}

/** Return what the camera sees as a picture, or null, with a message, if it shows nothing yet. */
function pictureOfCamera() {
  const video = element("video");
  if (video.videoWidth) return pictureOf(video, video.videoWidth, video.videoHeight);
  say("The camera shows nothing yet. Wait a moment and try again.");
  return null;
}

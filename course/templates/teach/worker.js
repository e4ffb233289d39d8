"use strict";
// Computes beside the page, so that the page stays alive. The text of network.js and learning.js comes before this one.
// It is told {kind: "start", network}, {kind: "picture", id, pixels}, {kind: "curves", request, classes}, where a class
// is {examples, held}, lists of ids, {kind: "ask", request, id, classes} and {kind: "look", request, id, others}.

const WAYS = ["pretrained", "random", "pixels"];
const pictures = new Map(); // id -> {pixels, vectors: those by way, or null}
let networks = null, latest = 0;

/** Return the three vectors of a picture: features of both networks, and its pixels. */
function vectorsOf(id) {
  const picture = pictures.get(id);
  picture.vectors ??= {
    pretrained: forward(networks.pretrained, picture.pixels).features,
    random: forward(networks.random, picture.pixels).features,
    pixels: Float32Array.from(picture.pixels, (value) => value / 127.5 - 1),
  };
  return picture.vectors;
}

/** Let other messages in, tell the page how far the work is, and return whether it is still wanted. */
async function goOn(request, done) {
  postMessage({ kind: "progress", request, done });
  await new Promise((resume) => setTimeout(resume));
  return request === latest;
}

/** Return the curve of each way, or null if a newer request has come meanwhile. */
async function curvesOf({ request, classes }) {
  const ids = classes.flatMap((each) => [...each.examples, ...each.held]), places = new Map(ids.map((id, n) => [id, n]));
  const missing = ids.filter((id) => !pictures.get(id).vectors);
  for (const [n, id] of missing.entries()) {
    if (n % 8 === 7 && !(await goOn(request, (0.5 * n) / missing.length))) return null;
    vectorsOf(id);
  }
  const placed = (which) => classes.map((each) => each[which].map((id) => places.get(id)));
  const curves = Object.fromEntries(WAYS.map((way) => [way, []]));
  for (const [n, [way, curve]] of Object.entries(curves).entries()) {
    const products = productsOf(ids.map((id) => vectorsOf(id)[way]));
    for (const point of learningCurve(products, placed("examples"), placed("held"))) {
      curve.push(point);
      if (!(await goOn(request, 0.5 + (n + curve.length / 10) / 6))) return null;
    }
  }
  return curves;
}

/** Return, by way, the probability of each class for a picture; the head has learned from all examples. */
function ask({ id, classes }) {
  const known = classes.flatMap((each) => each.examples), labels = classes.flatMap((each, label) => each.examples.map(() => label));
  return Object.fromEntries(WAYS.map((way) => {
    const products = productsOf([...known, id].map((each) => vectorsOf(each)[way]));
    return [way, softmax(trainHead(products, [...known.keys()], labels, classes.length)(known.length))];
  }));
}

/** Return the maps of a picture by block, and the ids of the others, the most similar first (by cosine). */
function lookAt({ id, others }) {
  const products = productsOf([id, ...others].map((each) => vectorsOf(each).pretrained));
  const length = (n) => Math.sqrt(products[n][n]);
  const alike = others.map((other, n) => ({ id: other, similarity: products[0][n + 1] / (length(0) * length(n + 1)) }));
  alike.sort((one, other) => other.similarity - one.similarity);
  return { blocks: forward(networks.pretrained, pictures.get(id).pixels).blocks, alike };
}

async function answer(data) {
  const { kind, request } = data;
  if (kind === "start") {
    const random = makeNetwork({ ...data.network, weights: null }, 1);
    networks = { pretrained: makeNetwork(data.network), random };
  } else if (kind === "picture") {
    pictures.set(data.id, { pixels: data.pixels, vectors: null });
  } else if (kind === "curves") {
    latest = request;
    const curves = data.classes.length < 2 ? null : await curvesOf(data);
    if (curves) postMessage({ kind, request, curves });
  } else if (kind === "ask") {
    postMessage({ kind, request, probabilities: ask(data) });
  } else if (kind === "look") {
    postMessage({ kind, request, ...lookAt(data) });
  }
}

onmessage = ({ data }) => answer(data).catch((error) => postMessage({ kind: "error", message: error.message }));

"use strict";
// Computes beside the page, so that the page stays alive. The text of network.js and learning.js comes before this one.
// It is told: {kind: "start", network}, {kind: "picture", id, pixels}, {kind: "curves", request, classes, gone}, where a
// class is {examples, held}, lists of ids, with the ids that are gone, and {kind: "look", request, id, others}.

const views = new Map(); // id of a picture -> its vectors by way
let networks = null, latest = 0;

/** Return the three vectors of a picture: features of both networks, and its pixels. */
function vectorsOf(id) {
  const picture = views.get(id);
  if (!picture.vectors) {
    picture.vectors = {
      pretrained: forward(networks.pretrained, picture.pixels).features,
      random: forward(networks.random, picture.pixels).features,
      pixels: Float32Array.from(picture.pixels, (value) => value / 127.5 - 1),
    };
  }
  return picture.vectors;
}

/** Return the curve of each way; stop and return null if a newer request has come meanwhile. */
async function curvesOf({ request, classes }) {
  const ids = classes.flatMap((each) => [...each.examples, ...each.held]);
  for (const [done, id] of ids.entries()) {
    if (!views.get(id).vectors && done % 8 === 7) await new Promise((resume) => setTimeout(resume));
    if (request !== latest) return null;
    vectorsOf(id);
  }
  const curves = {};
  for (const way of ["pretrained", "random", "pixels"]) {
    await new Promise((resume) => setTimeout(resume));
    if (request !== latest) return null;
    const vectors = (list) => list.map((id) => vectorsOf(id)[way]);
    curves[way] = learningCurve(classes.map((each) => vectors(each.examples)), classes.map((each) => vectors(each.held)));
  }
  return curves;
}

/** Return the maps of a picture by block, and the ids of the others, the most similar first (by cosine). */
function lookAt({ id, others }) {
  const mine = vectorsOf(id).pretrained, length = (vector) => Math.sqrt(dot(vector, vector));
  const alike = others.map((other) => {
    const theirs = vectorsOf(other).pretrained;
    return { id: other, similarity: dot(mine, theirs) / (length(mine) * length(theirs)) };
  });
  alike.sort((one, other) => other.similarity - one.similarity);
  return { blocks: forward(networks.pretrained, views.get(id).pixels).blocks, alike };
}

onmessage = async ({ data }) => {
  if (data.kind === "start") {
    const pretrained = makeNetwork(data.network);
    networks = { pretrained, random: makeNetwork({ ...data.network, weights: null }, 1) };
  } else if (data.kind === "picture") {
    views.set(data.id, { pixels: data.pixels, vectors: null });
  } else if (data.kind === "curves") {
    latest = data.request; // from here on, an older request stops: it may need what is gone
    data.gone.forEach((id) => views.delete(id));
    if (data.classes.length < 2) return;
    const curves = await curvesOf(data);
    if (curves) postMessage({ kind: "curves", request: data.request, curves });
  } else if (data.kind === "look") {
    postMessage({ kind: "look", request: data.request, ...lookAt(data) });
  }
};

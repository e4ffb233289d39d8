"use strict";
// The panel that looks inside the network: its maps of a picture, and the pictures that are nearest to it.

let looks = 0; // the number of the last request

function fillLook(gallery) {
  const select = element("look");
  gallery.forEach((each, k) => {
    const group = make("optgroup", { label: each.name });
    each.held.slice(0, 5).forEach((picture, n) => group.append(make("option", { value: `${k}-${n}` }, `${each.name} ${n + 1}`)));
    select.append(group);
  });
  select.onchange = () => look(gallery);
  look(gallery);
}

function look(gallery) {
  const [k, n] = element("look").value.split("-").map(Number), picture = gallery[k].held[n];
  const others = gallery.flatMap((each) => each.examples).map((each) => each.id);
  element("looked-at").src = picture.url;
  worker.postMessage({ kind: "look", request: ++looks, id: picture.id, others });
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

function drawLook(gallery, { request, blocks, alike }) {
  if (request !== looks) return;
  element("blocks").replaceChildren(...blocks.map((maps, n) => {
    const shown = liveliest(maps, 8).map((channel) => paintChannel(maps, channel));
    const title = `block ${n}: ${maps.channels} maps of ${maps.side} × ${maps.side}`;
    const maps8 = make("div", { className: "maps", role: "img", "aria-label": `eight of the maps of ${title}` }, ...shown);
    return make("figure", {}, make("figcaption", {}, title), maps8);
  }));
  const named = new Map(gallery.flatMap((each) => each.examples.map((picture) => [picture.id, { picture, name: each.name }])));
  element("alike").replaceChildren(...alike.slice(0, 6).map(({ id, similarity }) => {
    const { picture, name } = named.get(id);
    const image = make("img", { src: picture.url, alt: "", width: 48, height: 48 });
    return make("li", {}, image, ` ${name}, ${similarity.toFixed(2)}`);
  }));
}

"use strict";
// The forward pass of mini_mobilenet (helpers/models/mini_networks.py): convolutions, each followed by BatchNorm and
// ReLU6. An image is an array of side * side * channels numbers, row by row, the channels of a place side by side.

/** Turn base64 text of 16-bit floats (little-endian) into a Float32Array. */
function decodeHalves(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const numbers = new Float32Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = view.getUint16(2 * i, true);
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    numbers[i] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  }
  return numbers;
}

/** Return a function of no arguments that gives normally distributed numbers, always the same ones for a seed. */
function normalNumbers(seed) {
  let state = seed >>> 0;
  const uniform = () => {  // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());  // Box and Muller
}

/**
 * Build a network from its description; BatchNorm is folded into the kernels.
 *
 * description: {side, epsilon, layers: [{name, kind, stride, inputs, outputs}], weights}. kind is "conv" (3 x 3),
 * "depthwise" (3 x 3) or "pointwise" (1 x 1). weights: base64 of 16-bit floats, for each layer the kernel, then scale,
 * shift, mean and variance of its BatchNorm. Without weights (null), the kernels are random, after He et al. 2015.
 */
function makeNetwork(description, seed = 0) {
  const numbers = description.weights ? decodeHalves(description.weights) : null;
  const random = normalNumbers(seed);
  let at = 0;
  const take = (count) => numbers.subarray(at, (at += count));
  const layers = description.layers.map((layer) => {
    const places = layer.kind === "pointwise" ? 1 : 9;
    const inputs = layer.kind === "depthwise" ? 1 : layer.inputs;
    const size = places * layer.inputs * (layer.kind === "depthwise" ? 1 : layer.outputs);
    const kernel = new Float32Array(size), shift = new Float32Array(layer.outputs);
    if (!numbers) {
      for (let i = 0; i < size; i++) kernel[i] = random() * Math.sqrt(2 / (places * inputs));
      return { ...layer, kernel, shift };
    }
    const [raw, gamma, beta, mean, variance] = [take(size), ...[0, 0, 0, 0].map(() => take(layer.outputs))];
    const scale = gamma.map((value, c) => value / Math.sqrt(variance[c] + description.epsilon));
    for (let i = 0; i < size; i++) kernel[i] = raw[i] * scale[i % layer.outputs];
    for (let c = 0; c < layer.outputs; c++) shift[c] = beta[c] - mean[c] * scale[c];
    return { ...layer, kernel, shift };
  });
  return { side: description.side, layers };
}

/** Apply a layer to maps {side, channels, values}: zeros outside, as "same" of TensorFlow; then ReLU6. */
function applyLayer(layer, maps) {
  const side = Math.ceil(maps.side / layer.stride), channels = layer.outputs;
  const values = new Float32Array(side * side * channels);
  for (let place = 0; place < side * side; place++) values.set(layer.shift, place * channels);
  const reach = layer.kind === "pointwise" ? 1 : 3;
  const before = Math.max((side - 1) * layer.stride + reach - maps.side, 0) >> 1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const out = (y * side + x) * channels;
      for (let dy = 0; dy < reach; dy++) {
        const row = y * layer.stride + dy - before;
        if (row < 0 || row >= maps.side) continue;
        for (let dx = 0; dx < reach; dx++) {
          const column = x * layer.stride + dx - before;
          if (column < 0 || column >= maps.side) continue;
          const from = (row * maps.side + column) * maps.channels, place = dy * reach + dx;
          if (layer.kind === "depthwise") {
            for (let c = 0; c < channels; c++) {
              values[out + c] += maps.values[from + c] * layer.kernel[place * channels + c];
            }
          } else {
            for (let i = 0; i < maps.channels; i++) {
              const value = maps.values[from + i], weights = (place * maps.channels + i) * channels;
              if (value === 0) continue;  // ReLU6 leaves many zeros
              for (let c = 0; c < channels; c++) values[out + c] += value * layer.kernel[weights + c];
            }
          }
        }
      }
    }
  }
  for (let i = 0; i < values.length; i++) values[i] = Math.min(Math.max(values[i], 0), 6);
  return { side, channels, values };
}

/** Send pixels (side * side * 3, in [0, 255]) through a network; return the features and the maps after each block. */
function forward(network, pixels) {
  let maps = { side: network.side, channels: 3, values: Float32Array.from(pixels, (value) => value / 127.5 - 1) };
  const blocks = [];
  for (const layer of network.layers) {
    maps = applyLayer(layer, maps);
    if (layer.kind !== "depthwise") blocks.push({ name: layer.name, ...maps });
  }
  const features = new Float32Array(maps.channels), places = maps.side * maps.side;
  for (let i = 0; i < maps.values.length; i++) features[i % maps.channels] += maps.values[i] / places;
  return { features, blocks };
}

if (typeof module !== "undefined") module.exports = { forward, makeNetwork };

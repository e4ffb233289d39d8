"use strict";
// The classifier of the page: logistic regression, trained anew after each added example.

/** Return the mean of vectors, and one number for their spread: the root of their mean variance. */
function statistics(vectors) {
  const size = vectors[0].length, mean = new Float64Array(size);
  for (const vector of vectors) for (let i = 0; i < size; i++) mean[i] += vector[i] / vectors.length;
  let variance = 0;
  for (const vector of vectors) for (let i = 0; i < size; i++) variance += (vector[i] - mean[i]) ** 2;
  return { mean, spread: Math.sqrt(variance / (size * vectors.length)) || 1 };
}

/** Centre and scale a vector, so that its length is about 1, whatever the number of its values. */
function scaled(vector, { mean, spread }) {
  const divisor = spread * Math.sqrt(vector.length);
  return Float64Array.from(vector, (value, i) => (value - mean[i]) / divisor);
}

function dot(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

/** Return probabilities from scores. */
function softmax(scores) {
  const highest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const STRENGTH = 10; // C of scikit-learn's LogisticRegression, on scaled vectors

/**
 * Train a logistic regression on vectors with labels 0 to classCount - 1.
 *
 * It minimises 0.5 * |weights|^2 + STRENGTH * (the sum of the losses), as scikit-learn does, by accelerated gradient
 * steps (Nesterov 1983). The weights are a sum of the examples, so the steps need only their products: what an example
 * costs does not depend on the length of the vectors.
 *
 * Returns a function from a vector to the scores of the classes.
 */
function trainHead(vectors, labels, classCount) {
  const known = statistics(vectors), examples = vectors.map((vector) => scaled(vector, known));
  const products = examples.map((one) => examples.map((other) => dot(one, other)));
  const zeros = () => examples.map(() => new Float64Array(classCount));
  let shares = zeros(), bias = new Float64Array(classCount), before = shares, biasBefore = bias, momentum = 1;
  const reach = STRENGTH * (Math.max(...products.map((row) => row.reduce((sum, value) => sum + Math.abs(value), 0))));
  const rate = 1 / (1 + reach / 2), biasRate = 1 / (STRENGTH * examples.length);
  for (let step = 0; step < 400; step++) {
    const next = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2, further = (momentum - 1) / next;
    momentum = next;
    const ahead = shares.map((row, n) => row.map((value, k) => value + further * (value - before[n][k])));
    const biasAhead = bias.map((value, k) => value + further * (value - biasBefore[k]));
    const newBias = Float64Array.from(biasAhead);
    const newShares = ahead.map((row, n) => {
      const scores = Array.from(biasAhead, (value, k) => {
        let score = value;
        for (let other = 0; other < examples.length; other++) score += products[n][other] * ahead[other][k];
        return score;
      });
      const probabilities = softmax(scores);
      return row.map((value, k) => {
        const error = probabilities[k] - (labels[n] === k ? 1 : 0);
        newBias[k] -= biasRate * STRENGTH * error;
        return value - rate * (value + STRENGTH * error);
      });
    });
    [before, shares, biasBefore, bias] = [shares, newShares, bias, newBias];
  }
  return (vector) => {
    const place = scaled(vector, known), given = examples.map((example) => dot(example, place));
    return Array.from(bias, (value, k) => given.reduce((sum, product, n) => sum + product * shares[n][k], value));
  };
}

/** Return the position of the highest score. */
function highest(scores) {
  return scores.indexOf(Math.max(...scores));
}

/**
 * Return the accuracy for 1, 2, ... examples of each class.
 *
 * examples, held: for each class its vectors. A class without held-out vectors is judged by its own examples, each by a
 * head that has not seen it (leave one out); with one example there is nothing to judge.
 */
function learningCurve(examples, held) {
  const most = Math.min(...examples.map((vectors) => vectors.length)), curve = [];
  for (let count = 1; count <= most; count++) {
    const taken = examples.map((vectors) => vectors.slice(0, count));
    const flat = taken.flat(), labels = taken.flatMap((vectors, k) => vectors.map(() => k));
    const head = trainHead(flat, labels, examples.length);
    let right = 0, judged = 0;
    held.forEach((vectors, k) => {
      for (const vector of vectors) right += highest(head(vector)) === k;
      judged += vectors.length;
      if (vectors.length > 0 || count < 2) return;
      taken[k].forEach((vector) => {
        const rest = flat.map((_, n) => n).filter((n) => flat[n] !== vector);
        const other = trainHead(rest.map((n) => flat[n]), rest.map((n) => labels[n]), examples.length);
        right += highest(other(vector)) === k;
        judged += 1;
      });
    });
    curve.push(judged ? right / judged : null);
  }
  return curve;
}

if (typeof module !== "undefined") module.exports = { learningCurve };

"use strict";
// The classifier of the page: logistic regression, trained anew after each added example.

/** Return the products of vectors: products[i][j] is the dot product of vectors i and j. All else follows from them. */
function productsOf(vectors) {
  const products = vectors.map(() => new Float64Array(vectors.length));
  for (let i = 0; i < vectors.length; i++) {
    for (let j = 0; j <= i; j++) {
      const one = vectors[i], other = vectors[j];
      let sum = 0;
      for (let n = 0; n < one.length; n++) sum += one[n] * other[n];
      products[i][j] = products[j][i] = sum;
    }
  }
  return products;
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Return probabilities from scores. */
function softmax(scores) {
  const most = Math.max(...scores), powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const STRENGTH = 10; // C of scikit-learn's LogisticRegression
const STEPS = 400;

/**
 * Return a function from the place of a vector to its products with the known ones, after all were centred on the mean of
 * the known ones and scaled, so that the length of these is about 1, whatever the number of their values.
 */
function centredOn(products, known) {
  const means = known.map((one) => average(known.map((other) => products[one][other]))), mean = average(means);
  const squares = known.map((one) => products[one][one]), spread = average(squares) - mean;
  const scale = spread > 1e-9 * average(squares) ? 1 / spread : 0; // 0: all are equal, and nothing can be learned
  return (index) => {
    const own = average(known.map((other) => products[index][other]));
    return Float64Array.from(known, (other, n) => (products[index][other] - own - means[n] + mean) * scale);
  };
}

/**
 * Train a logistic regression on the vectors at the places `known`, with labels 0 to classCount - 1.
 *
 * It minimises 0.5 * |weights|^2 + STRENGTH * (the sum of the losses), as scikit-learn does, by accelerated gradient
 * steps (Nesterov 1983). The weights are a sum of the examples, each with its shares: the steps need only the products.
 *
 * Returns a function from the place of any vector to the scores of the classes.
 */
function trainHead(products, known, labels, classCount) {
  const nearness = centredOn(products, known), near = known.map(nearness);
  const reach = STRENGTH * Math.max(...near.map((row) => row.reduce((sum, value) => sum + Math.abs(value), 0)));
  const rate = 1 / (1 + reach / 2), biasRate = 1 / (STRENGTH * known.length);
  const zeros = () => Array.from({ length: classCount }, () => new Float64Array(known.length));
  let shares = zeros(), before = shares, ahead = zeros(), momentum = 1;
  let bias = new Float64Array(classCount), biasBefore = bias;
  const scores = new Array(classCount);
  for (let step = 0; step < STEPS; step++) {
    const next = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2, further = (momentum - 1) / next;
    momentum = next;
    for (let k = 0; k < classCount; k++) {
      for (let n = 0; n < known.length; n++) ahead[k][n] = shares[k][n] + further * (shares[k][n] - before[k][n]);
    }
    const biasAhead = bias.map((value, k) => value + further * (value - biasBefore[k]));
    const newShares = zeros(), newBias = biasAhead.slice();
    for (let n = 0; n < known.length; n++) {
      for (let k = 0; k < classCount; k++) {
        scores[k] = biasAhead[k];
        for (let other = 0; other < known.length; other++) scores[k] += near[n][other] * ahead[k][other];
      }
      softmax(scores).forEach((probability, k) => {
        const error = STRENGTH * (probability - (labels[n] === k ? 1 : 0));
        newBias[k] -= biasRate * error;
        newShares[k][n] = ahead[k][n] - rate * (ahead[k][n] + error);
      });
    }
    [before, shares, biasBefore, bias] = [shares, newShares, bias, newBias];
  }
  return (index) => {
    const row = nearness(index);
    return Array.from(bias, (value, k) => row.reduce((sum, product, n) => sum + product * shares[k][n], value));
  };
}

/** Return what a prediction counts: 1 if the right class has the highest score, a part of it if several have. */
function credit(scores, label) {
  const most = Math.max(...scores);
  return scores[label] === most ? 1 / scores.filter((score) => score === most).length : 0;
}

const COUNTS = [1, 2, 3, 4, 5, 7, 10, 14]; // judged, beside the most that there are: each costs time

/**
 * Yield {count, accuracy} for growing numbers of examples that the head learns from, of each class.
 *
 * examples, held: for each class the places of its vectors. Pictures that are held out judge their class. A class of the
 * reader's own has none: there each example is judged by a head that has not seen it, nor the example at the same place
 * of the other classes (without it, the head would know which class has one less). The classes count alike.
 */
function* learningCurve(products, examples, held) {
  const fewest = Math.min(...examples.map((places) => places.length));
  const own = held.some((places) => places.length === 0), most = own ? fewest - 1 : fewest;
  for (const count of [...COUNTS.filter((each) => each < most), most]) {
    if (count < 1) return;
    const rounds = own ? fewest : 1, right = examples.map(() => 0);
    for (let round = 0; round < rounds; round++) {
      const first = own ? round + 1 : 0; // the examples after the one that is left out, in a circle
      const taken = examples.map((places) => Array.from({ length: count }, (_, n) => places[(first + n) % fewest]));
      const labels = taken.flatMap((places, label) => places.map(() => label));
      const head = trainHead(products, taken.flat(), labels, examples.length);
      examples.forEach((places, label) => {
        const judges = held[label].length ? held[label] : [places[round]];
        right[label] += average(judges.map((index) => credit(head(index), label))) / rounds;
      });
    }
    yield { count, accuracy: average(right) };
  }
}

if (typeof module !== "undefined") module.exports = { learningCurve, productsOf };

// Sample work, to see the queue at work: real inputs of the six kinds that the server knows.

/** What a guest thinks of a wine, 1 to 5: three tastes, so that there is something to learn. */
function liking(user, item) {
  const tastes = [0.7, 1.3, 2.1].map((f) => Math.sin(user * f) * Math.cos(item * f * 0.45));
  return 3 + tastes[0] + 0.6 * tastes[1] + 0.4 * tastes[2];
}

/** Ratings of so many users, about a tenth of the items each. */
function ratings(users) {
  const items = Math.max(20, Math.round(users / 2));
  const all = [];
  for (let user = 0; user < users; user += 1) {
    for (let item = user % 10; item < items; item += 10) {
      all.push({ user_id: user, item_id: `w${item}`, rating: liking(user, item) });
    }
  }
  return all;
}

function matrix(n) {
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => ((i * 31 + j * 17) % 100) / 10));
}

function entities(users) {
  return Array.from({ length: users }, (_, user) => ({
    id: `guest ${user}`,
    ratings: Array.from({ length: 40 }, (_, at) => ({
      item_id: `w${(user * 3 + at * 7) % 400}`,
      rating: 1 + ((user + at * at) % 5),
    })),
  }));
}

/** `size` means what `unit` says. */
export const JOBS = {
  model_training: {
    title: 'Train a model',
    unit: 'users',
    size: 400,
    max: 2000,
    data: (users) => ({ trainingData: ratings(users), parameters: { epochs: 1000, factors: 64 } }),
  },
  similarity_calculation: {
    title: 'Similarities of guests',
    unit: 'guests',
    size: 500,
    max: 3000,
    data: (users) => ({ entities: entities(users), algorithm: 'pearson', topK: 5 }),
  },
  matrix_multiplication: {
    title: 'Product of two matrices',
    unit: 'rows and columns',
    size: 200,
    max: 500,
    data: (n) => ({ matrixA: matrix(n), matrixB: matrix(n) }),
  },
};

/** Takes some milliseconds a chunk, so that progress can be seen. */
const SLOW = `(records) => {
  let work = 0;
  for (let i = 0; i < 200000; i += 1) work += Math.sqrt(i);
  return records.map((record) => ({ ...record, processed: true, work: Math.round(work) }));
}`;

export const BATCHES = {
  mark_processed: 'mark_processed (built in)',
  identity: 'identity (built in)',
  slow: 'a slow function in its sandbox',
};

export function batch(records, processor, batchSize) {
  return {
    data: Array.from({ length: records }, (_, at) => ({ bottle: at, shelf: at % 24 })),
    processor: processor === 'slow' ? SLOW : processor,
    options: { batchSize },
  };
}

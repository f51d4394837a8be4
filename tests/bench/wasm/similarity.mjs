// Pearson over all pairs of 1000 guests with 50 of 500 wines each.

import { interleaved, random } from './support.mjs';

const [GUESTS, WINES, RATED] = [1000, 500, 50];

function guests(count) {
  const next = random(1);
  return Array.from({ length: count }, (_, id) => {
    const rated = new Set();
    while (rated.size < RATED) rated.add(Math.floor(next() * WINES));
    const rating = () => 1 + Math.floor(next() * 9) / 2;
    return { id, ratings: Array.from(rated, (item_id) => ({ item_id, rating: rating() })) };
  });
}

function typed(entities) {
  const offsets = Uint32Array.from({ length: entities.length + 1 }, (_, e) => e * RATED);
  const all = entities.flatMap((entity) => entity.ratings);
  return {
    offsets,
    items: Uint32Array.from(all, (rating) => rating.item_id),
    ratings: Float32Array.from(all, (rating) => rating.rating),
  };
}

/** The straightforward JavaScript, as `../twins/similarity_naive.js`. */
function naive(entities) {
  const commonItems = (a, b) =>
    a.ratings.filter((r) => b.ratings.some((s) => s.item_id === r.item_id)).map((r) => r.item_id);
  const pearson = (a, b) => {
    const common = commonItems(a, b).map((item) => [
      a.ratings.find((r) => r.item_id === item).rating,
      b.ratings.find((r) => r.item_id === item).rating,
    ]);
    if (common.length < 3) return 0;
    const mean = (side) => common.reduce((sum, c) => sum + c[side], 0) / common.length;
    const [mean1, mean2] = [mean(0), mean(1)];
    let [numerator, squares1, squares2] = [0, 0, 0];
    for (const [x, y] of common) {
      numerator += (x - mean1) * (y - mean2);
      squares1 += (x - mean1) ** 2;
      squares2 += (y - mean2) ** 2;
    }
    const denominator = Math.sqrt(squares1 * squares2);
    return denominator === 0 ? 0 : numerator / denominator;
  };
  const similarities = [];
  for (let i = 0; i < entities.length; i++) {
    for (let j = i + 1; j < entities.length; j++) {
      const similarity = pearson(entities[i], entities[j]);
      if (similarity >= 0.1) {
        const common = commonItems(entities[i], entities[j]).length;
        similarities.push({ entity1: entities[i].id, entity2: entities[j].id, similarity, algorithm: 'pearson', commonItems: common });
      }
    }
  }
  return similarities.sort((a, b) => b.similarity - a.similarity);
}

export async function run({ sommos, rounds }, report) {
  const { SimilarityCalculationEngine, init } = sommos;
  const entities = guests(GUESTS);
  const ratings = typed(entities);
  const engine = new SimilarityCalculationEngine({ cacheExpiry: 0 });
  const compact = (input) => () => engine.calculateSimilarities(input, 'pearson', { compact: true });
  const objects = () => engine.calculateSimilarities(entities, 'pearson');
  const millions = (ms) => (GUESTS * (GUESTS - 1)) / 2 / ms / 1000;

  await init({ mode: 'single' });
  const few = Math.min(rounds, 3);
  const one = await interleaved({ ours: compact(ratings), objects, naive: () => naive(entities) }, few);
  report.add('pearson 1000 x 50, one thread', 'M pairs/s', millions(one.ours), 'plain JS', millions(one.naive), 30);
  report.add('pearson 1000 x 50, one thread, objects in and out', 'M pairs/s', millions(one.objects), 'plain JS', millions(one.naive), 30);
  const { mode } = await init({ mode: 'threads', threads: 2 });
  if (mode !== 'threads') return report.note('two threads: not here');

  // The same work on more guests too: what one call costs beside the work weighs less.
  const more = typed(guests(4000));
  const wide = (input) => () => engine.calculateSimilarities(input, 'pearson', { compact: true, limit: 1000 });
  for (const [name, call] of [['1000 x 50', compact(ratings)], ['4000 x 50, best 1000', wide(more)]]) {
    const times = { one: [], two: [] };
    // Another mode is another worker: blocks of calls, not single calls, take turns.
    for (let block = 0; block < rounds; block++) {
      await init({ mode: 'single' });
      times.one.push((await interleaved({ call }, 5)).call);
      await init({ mode: 'threads', threads: 2 });
      times.two.push((await interleaved({ call }, 5)).call);
    }
    const best = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
    report.add(`pearson ${name}, two threads over one`, 'calls/s', 1000 / best(times.two), 'one thread', 1000 / best(times.one), 1.7);
  }
  await engine.shutdown();
}

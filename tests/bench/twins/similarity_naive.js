// The straightforward JavaScript: entities with arrays of {item_id, rating}, every pair in turn,
// the items in common by a search of the other's array; each kept pair with its count of common
// items, all sorted.
//
// Usage: node similarity_naive.js ALGORITHM FILE ROUNDS. Prints, for each round, the CPU seconds
// of the computation alone.

const fs = require('node:fs');

function commonItems(entity1, entity2) {
  return entity1.ratings
    .filter((r1) => entity2.ratings.some((r2) => r2.item_id === r1.item_id))
    .map((r) => r.item_id);
}

function commonRatings(entity1, entity2) {
  return commonItems(entity1, entity2).map((item) => ({
    rating1: entity1.ratings.find((r) => r.item_id === item).rating,
    rating2: entity2.ratings.find((r) => r.item_id === item).rating,
  }));
}

function pearson(entity1, entity2) {
  const common = commonRatings(entity1, entity2);
  if (common.length < 3) return 0;
  const mean1 = common.reduce((sum, c) => sum + c.rating1, 0) / common.length;
  const mean2 = common.reduce((sum, c) => sum + c.rating2, 0) / common.length;
  let numerator = 0;
  let squares1 = 0;
  let squares2 = 0;
  for (const c of common) {
    const d1 = c.rating1 - mean1;
    const d2 = c.rating2 - mean2;
    numerator += d1 * d2;
    squares1 += d1 * d1;
    squares2 += d2 * d2;
  }
  const denominator = Math.sqrt(squares1 * squares2);
  return denominator === 0 ? 0 : numerator / denominator;
}

function cosine(entity1, entity2) {
  const common = commonRatings(entity1, entity2);
  if (common.length === 0) return 0;
  let dot = 0;
  let norm1 = 0;
  let norm2 = 0;
  for (const c of common) {
    dot += c.rating1 * c.rating2;
    norm1 += c.rating1 * c.rating1;
    norm2 += c.rating2 * c.rating2;
  }
  const denominator = Math.sqrt(norm1) * Math.sqrt(norm2);
  return denominator === 0 ? 0 : dot / denominator;
}

function jaccard(entity1, entity2) {
  const items1 = new Set(entity1.ratings.map((r) => r.item_id));
  const items2 = new Set(entity2.ratings.map((r) => r.item_id));
  const intersection = new Set([...items1].filter((item) => items2.has(item)));
  const union = new Set([...items1, ...items2]);
  return union.size === 0 ? 0 : intersection.size / union.size;
}

function euclidean(entity1, entity2) {
  const common = commonRatings(entity1, entity2);
  if (common.length === 0) return 0;
  const sum = common.reduce((total, c) => total + (c.rating1 - c.rating2) ** 2, 0);
  return 1 / (1 + Math.sqrt(sum));
}

const algorithm = { pearson, cosine, jaccard, euclidean }[process.argv[2]];
const entities = [];
for (const line of fs.readFileSync(process.argv[3], 'utf8').trim().split('\n')) {
  const [entity, item, rating] = line.split(' ').map(Number);
  entities[entity] ??= { id: entity, ratings: [] };
  entities[entity].ratings.push({ item_id: item, rating });
}

for (let round = 0; round < Number(process.argv[4]); round++) {
  const start = process.cpuUsage();
  const similarities = [];
  for (let i = 0; i < entities.length; i++) {
    for (let j = i + 1; j < entities.length; j++) {
      const similarity = algorithm(entities[i], entities[j]);
      if (similarity >= 0.1) {
        similarities.push({
          entity1: entities[i].id,
          entity2: entities[j].id,
          similarity,
          algorithm: process.argv[2],
          commonItems: commonItems(entities[i], entities[j]).length,
        });
      }
    }
  }
  similarities.sort((a, b) => b.similarity - a.similarity);
  const used = process.cpuUsage(start);
  console.log((used.user + used.system) / 1e6);
}

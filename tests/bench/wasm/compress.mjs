// gzip of 10 MB of wine records as JSON, level 6; and Bloom filters.

import { interleaved, random } from './support.mjs';

function records(bytes) {
  const next = random(3);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const parts = [];
  let length = 0;
  for (let id = 1; length < bytes; id++) {
    const record = JSON.stringify({
      id,
      name: `${pick(['Château', 'Domaine', 'Bodega', 'Tenuta'])} ${pick(['Margaux', 'Leroy', 'Vega', 'Sassi'])} ${1900 + Math.floor(next() * 120)}`,
      grape: pick(['Pinot Noir', 'Nebbiolo', 'Tempranillo', 'Chardonnay', 'Riesling']),
      region: pick(['Bordeaux', 'Bourgogne', 'Piemonte', 'Rioja', 'Mosel']),
      price: Math.round(next() * 50000) / 100,
      rating: Math.round(next() * 50) / 10,
      quantity: Math.floor(next() * 60),
    });
    parts.push(record);
    length += record.length + 1;
  }
  return new TextEncoder().encode(`[${parts.join()}]`);
}

export async function gzip({ sommos, pako, fflate, rounds }, report) {
  const input = records(10_000_000);
  const memory = new sommos.MemoryOptimizationEngine();
  const sizes = {};
  const run = (name, pack) => async () => (sizes[name] = (await pack()).length);
  const times = await interleaved(
    {
      ours: run('ours', () => memory.compress(input, 'gzip')),
      pako: run('pako', () => pako.gzip(input, { level: 6 })),
      fflate: run('fflate', () => fflate.gzipSync(input, { level: 6 })),
    },
    Math.min(rounds, 5),
  );
  const speed = (name) => input.length / times[name] / 1000;
  for (const peer of ['pako', 'fflate']) {
    report.add('gzip -6, 10 MB of JSON', 'MB/s', speed('ours'), peer, speed(peer), 1);
    report.add('gzip -6, ratio', 'in/out', input.length / sizes.ours, peer, input.length / sizes[peer]);
  }
  memory.destroy();
}

export async function bloom({ sommos, bloomFilters, rounds }, report) {
  const count = 20_000;
  const [expectedItems, falsePositiveRate] = [count, 0.01];
  const items = Array.from({ length: count }, (_, i) => `wine:${i}:${i * 7}`);
  const others = Array.from({ length: count }, (_, i) => `dish:${i}:${i * 3}`);
  const wrong = {};
  const fill = (name, make, has) => () => {
    const filter = make();
    for (const item of items) filter.add(item);
    let found = 0;
    for (const item of items) if (!has(filter, item)) throw new Error(`${name} lost ${item}`);
    for (const item of others) if (has(filter, item)) found += 1;
    filter[Symbol.dispose]?.();
    wrong[name] = found / count;
  };
  const times = await interleaved(
    {
      ours: fill('ours', () => new sommos.BloomFilter({ expectedItems, falsePositiveRate }), (f, item) => f.contains(item)),
      peer: fill('peer', () => bloomFilters.BloomFilter.create(expectedItems, falsePositiveRate), (f, item) => f.has(item)),
    },
    rounds,
  );
  const speed = (name) => (3 * count) / times[name] / 1000;
  report.add('Bloom filter, add and look up', 'M ops/s', speed('ours'), 'bloom-filters', speed('peer'));
  report.note(`Bloom filter, false positives at 1 % wanted: ours ${wrong.ours}, bloom-filters ${wrong.peer}`);
}

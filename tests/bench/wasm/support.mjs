// What every case of the benchmark needs: seeded input, interleaved rounds, the report.

/** A seeded generator (mulberry32): numbers of [0, 1). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Ranks 0..n-1 by Zipf's law, by a table of sums: exact, and made once. */
export function zipf(n, exponent, count, seed) {
  const sums = new Float64Array(n);
  let sum = 0;
  for (let rank = 0; rank < n; rank++) sums[rank] = sum += (rank + 1) ** -exponent;
  const next = random(seed);
  return Uint32Array.from({ length: count }, () => {
    const wanted = next() * sum;
    let [low, high] = [0, n - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  });
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Milliseconds of each of `runs` ({name: async function}), interleaved; the median of rounds. */
export async function interleaved(runs, rounds) {
  const names = Object.keys(runs);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await runs[name]();
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 ? names.toReversed() : names) {
      const start = performance.now();
      await runs[name]();
      times[name].push(performance.now() - start);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times[name])]));
}

/** Prints cases as a table and keeps them for JSON. */
export function reporter(where, print) {
  const cases = [];
  const cell = (value) => (Number.isFinite(value) ? value.toFixed(3) : '-').padStart(14);
  return {
    cases,
    /** More is better: `ratio` is ours over the peer's. */
    add(name, unit, ours, peerName, peer, target) {
      const ratio = ours / peer;
      cases.push({ bench: 'wasm', case: `${where}: ${name}`, ours, peer, peer_name: peerName, ratio, unit });
      const goal = target === undefined ? '' : ` (target ${target})`;
      print(`${where.padEnd(9)} ${name.padEnd(46)} ${cell(ours)} ${cell(peer)} ${ratio.toFixed(2).padStart(8)}  ${unit}, ${peerName}${goal}`);
    },
    note: (text) => print(`${where.padEnd(9)} ${text}`),
  };
}

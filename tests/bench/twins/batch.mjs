// The batch workloads in plain JavaScript. Prints one JSON line: items, seconds, peak memory.
//
//   node batch.mjs objects ITEMS       objects in memory, chunks of 1000, await per chunk, concat
//   node batch.mjs lines FILE          NDJSON file in, NDJSON out, one loop

import fs from 'node:fs';

const processor = (chunk) => chunk.map((item) => ({ ...item, processed: true }));

const begin = () => ({ cpu: process.cpuUsage(), at: performance.now() });
const taken = ({ cpu, at }) => {
  const { user, system } = process.cpuUsage(cpu);
  return { cpu_s: (user + system) / 1e6, wall_s: (performance.now() - at) / 1e3 };
};

async function objects(count) {
  const data = Array.from({ length: count }, (_, i) => ({ id: i, value: `data${i}` }));
  const start = begin();
  let results = [];
  for (let i = 0; i < data.length; i += 1000) {
    const chunk = data.slice(i, i + 1000);
    const items = await (async () => processor(chunk))();
    // Pushing is what concat amounts to without its quadratic cost.
    results.push(...items);
  }
  return { items: results.length, ...taken(start) };
}

async function lines(file) {
  const start = begin();
  const input = fs.openSync(file, 'r');
  const output = fs.openSync('/dev/null', 'w');
  const buffer = Buffer.alloc(1 << 18);
  const decoder = new TextDecoder();
  let rest = '';
  let items = 0;
  for (;;) {
    const n = fs.readSync(input, buffer);
    const parts = (rest + decoder.decode(buffer.subarray(0, n), { stream: n > 0 })).split('\n');
    rest = parts.pop();
    let text = '';
    for (const line of parts) {
      if (line === '') continue;
      text += JSON.stringify({ ...JSON.parse(line), processed: true }) + '\n';
      items += 1;
    }
    fs.writeSync(output, text);
    if (n === 0) break;
  }
  return { items, ...taken(start) };
}

const [mode, argument] = process.argv.slice(2);
const figures = await (mode === 'objects' ? objects(Number(argument)) : lines(argument));
console.log(JSON.stringify({ ...figures, peak_mb: process.resourceUsage().maxRSS / 1024 }));

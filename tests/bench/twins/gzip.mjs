// zlib in Node: for each line `gzip|gunzip LEVEL FILE` prints million bytes (of plain data) a
// CPU-second.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { gunzipSync, gzipSync } from 'node:zlib';

const seconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1e-6;
};

console.log(`node ${process.version}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [work, level, ...path] = line.split(' ');
  const plain = readFileSync(path.join(' '));
  const packed = gzipSync(plain, { level: Number(level) });
  const start = seconds();
  if (work === 'gzip') gzipSync(plain, { level: Number(level) });
  else gunzipSync(packed);
  console.log((plain.length * 1e-6) / (seconds() - start));
}

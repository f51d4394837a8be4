// JavaScript products: for each line `f64 SIZE MULTIPLY_ADDS` prints GFLOPS a CPU-second of nested
// loops over arrays of rows, and of ml-matrix when it is installed (`npm install ml-matrix` here).
import { createInterface } from 'node:readline';

const library = await import('ml-matrix').catch(() => null);
console.log(library ? 'loops and ml-matrix' : 'loops');

function loops(a, b) {
  const n = b[0].length;
  return a.map((row) => {
    const out = new Array(n).fill(0);
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < row.length; p++) sum += row[p] * b[p][j];
      out[j] = sum;
    }
    return out;
  });
}

const seconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1e-6;
};

function gflops(size, repeats, product) {
  product();
  const start = seconds();
  for (let i = 0; i < repeats; i++) product();
  return (2e-9 * size ** 3 * repeats) / (seconds() - start);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [, text, work] = line.split(' ');
  const size = Number(text);
  const fill = (m) =>
    Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, (_, j) => (i * size + j) % m));
  const [a, b] = [fill(13), fill(11)];
  const repeats = Math.max(1, Math.floor(Number(work) / 100 / size ** 3));
  const figures = [gflops(size, repeats, () => loops(a, b))];
  if (library) {
    const [x, y] = [new library.Matrix(a), new library.Matrix(b)];
    figures.push(gflops(size, repeats, () => x.mmul(y)));
  }
  console.log(Math.max(...figures));
}

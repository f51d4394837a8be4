// Products of square single-precision matrices.

import { interleaved, random } from './support.mjs';

export async function run({ sommos, tf, mlMatrix, rounds }, report) {
  const { MatrixProcessingEngine, init } = sommos;
  const engine = new MatrixProcessingEngine();
  const peerThreads = tf?.threads ?? 1;
  if (tf) report.note(`tfjs-backend-wasm runs with ${peerThreads} thread(s), simd ${tf.simd}`);
  for (const threads of peerThreads > 1 ? [1, peerThreads] : [1]) {
    await init(threads === 1 ? { mode: 'single' } : { mode: 'threads', threads });
    for (const n of [512, 1024]) {
      const next = random(n);
      const data = () => Float32Array.from({ length: n * n }, () => next() - 0.5);
      const [a, b] = [{ rows: n, cols: n, data: data() }, { rows: n, cols: n, data: data() }];
      const gflops = (ms) => (2 * n ** 3) / ms / 1e6;
      const runs = { ours: () => engine.multiplyMatrices(a, b) };
      if (tf) {
        runs.tfjs = async () => {
          const [x, y] = [tf.tensor2d(a.data, [n, n]), tf.tensor2d(b.data, [n, n])];
          const product = tf.matMul(x, y);
          await product.data();
          for (const tensor of [x, y, product]) tensor.dispose();
        };
      }
      const times = await interleaved(runs, rounds);
      if (tf) report.add(`matmul ${n} f32, ${threads} thread(s)`, 'GFLOPS', gflops(times.ours), 'tfjs-backend-wasm', gflops(times.tfjs), 1);
      if (threads === 1) {
        const rows = (m) => Array.from({ length: n }, (_, r) => Array.from(m.data.subarray(r * n, (r + 1) * n)));
        const [x, y] = [new mlMatrix.Matrix(rows(a)), new mlMatrix.Matrix(rows(b))];
        const peer = await interleaved({ mmul: () => x.mmul(y) }, 1);
        report.add(`matmul ${n} f32, one thread`, 'GFLOPS', gflops(times.ours), 'ml-matrix (f64)', gflops(peer.mmul));
      }
    }
  }
  await init({ mode: 'threads', threads: 2 });
  await engine.shutdown();
}

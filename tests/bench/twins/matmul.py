"""OpenBLAS through numpy: for each line `f32|f64 ROWS INNER COLUMNS MULTIPLY_ADDS` prints GFLOPS
a CPU-second (one thread) or a second (more). Results are fresh, as those of the other peers."""

import os
import sys
import time

import numpy

threads = int(os.environ.get("OPENBLAS_NUM_THREADS", "1"))
clock = time.process_time if threads == 1 else time.perf_counter


def filled(rows, columns, modulus, dtype):
    values = numpy.arange(rows * columns) % modulus
    return values.astype(dtype).reshape(rows, columns)


print("numpy", numpy.__version__, flush=True)
for line in sys.stdin:
    kind, m, k, n, work = line.split()
    m, k, n = int(m), int(k), int(n)
    dtype = numpy.float32 if kind == "f32" else numpy.float64
    a = filled(m, k, 13, dtype)
    b = filled(k, n, 11, dtype)
    numpy.matmul(a, b)
    repeats = max(1, int(work) // (m * k * n))
    start = clock()
    for _ in range(repeats):
        numpy.matmul(a, b)
    print(2e-9 * m * k * n * repeats / (clock() - start), flush=True)

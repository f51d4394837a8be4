"""OpenBLAS through numpy: for each line `f32|f64 SIZE MULTIPLY_ADDS` prints GFLOPS a CPU-second
(one thread) or a second (more)."""

import os
import sys
import time

import numpy

threads = int(os.environ.get("OPENBLAS_NUM_THREADS", "1"))
clock = time.process_time if threads == 1 else time.perf_counter
print("numpy", numpy.__version__, flush=True)
for line in sys.stdin:
    kind, size, work = line.split()
    size = int(size)
    dtype = numpy.float32 if kind == "f32" else numpy.float64
    a = (numpy.arange(size * size) % 13).astype(dtype).reshape(size, size)
    b = (numpy.arange(size * size) % 11).astype(dtype).reshape(size, size)
    out = numpy.matmul(a, b)
    repeats = max(1, int(work) // size**3)
    start = clock()
    for _ in range(repeats):
        numpy.matmul(a, b, out=out)
    print(2e-9 * size**3 * repeats / (clock() - start), flush=True)

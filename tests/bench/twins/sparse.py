"""Products of scipy: for each line `dense|sparse SIDE ENTRIES COLUMNS REPEATS` prints million
multiply-adds a CPU-second of a SIDE x SIDE matrix with ENTRIES random places by a dense one of
COLUMNS columns, or by another of its kind."""

import sys
import time

import numpy
import scipy
import scipy.sparse


def random_matrix(side, entries, seed):
    rng = numpy.random.default_rng(seed)
    places = (rng.integers(0, side, entries), rng.integers(0, side, entries))
    values = rng.integers(1, 8, entries).astype(numpy.float64)
    return scipy.sparse.coo_array((values, places), shape=(side, side)).tocsr()


print("scipy", scipy.__version__, flush=True)
for line in sys.stdin:
    kind, *numbers = line.split()
    side, entries, columns, repeats = map(int, numbers)
    a = random_matrix(side, entries, 1)
    if kind == "dense":
        b = (numpy.arange(side * columns) % 11).astype(numpy.float64).reshape(side, columns)
        work = a.nnz * columns
    else:
        b = random_matrix(side, entries, 2)
        work = int(numpy.bincount(a.indices, minlength=side) @ numpy.diff(b.indptr))
    a @ b
    start = time.process_time()
    for _ in range(repeats):
        a @ b
    print(1e-6 * work * repeats / (time.process_time() - start), flush=True)

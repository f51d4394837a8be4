"""Peers in Python: Pearson of all pairs by five matrix products in numpy, and scikit-surprise.

Usage: similarity_numpy.py NAME FILE ROUNDS. FILE has lines of "entity item rating", all integers
from 0 but the rating. NAME: numpy, or surprise-pearson, surprise-cosine, surprise-msd.
Prints, for each round, the CPU seconds of the computation alone, on one thread.
"""

import sys
import time

try:
    import numpy as np
except ImportError:
    sys.exit("numpy is missing: python3 -m pip install numpy")


def load(path):
    table = np.loadtxt(path, ndmin=2)
    return table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2]


def five_products(x, mask, min_common):
    n = mask @ mask.T
    sx = x @ mask.T
    sxx = (x * x) @ mask.T
    sxy = x @ x.T
    # The fifth is the transposed sum: numpy has it without another product for the squares.
    sy = mask @ x.T
    covariance = n * sxy - sx * sy
    variance = n * sxx - sx * sx
    denominator = np.sqrt(variance * (n * sxx.T - sy * sy))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where((n >= min_common) & (denominator > 0), covariance / denominator, 0.0)
    return r


def main():
    name, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    entities, items, ratings = load(path)
    shape = (entities.max() + 1, items.max() + 1)
    if name == "numpy":
        x = np.zeros(shape)
        mask = np.zeros(shape)
        x[entities, items] = ratings
        mask[entities, items] = 1.0

        def work():
            five_products(x, mask, 3)

    else:
        try:
            from surprise import similarities
        except ImportError:
            sys.exit("scikit-surprise is missing: python3 -m pip install scikit-surprise")
        by_item = {int(i): [] for i in range(shape[1])}
        for entity, item, rating in zip(entities, items, ratings):
            by_item[int(item)].append((int(entity), float(rating)))
        function = getattr(similarities, name.removeprefix("surprise-"))

        def work():
            function(int(shape[0]), by_item, 3 if "pearson" in name else 1)

    for _ in range(rounds):
        start = time.process_time()
        work()
        print(time.process_time() - start, flush=True)


main()

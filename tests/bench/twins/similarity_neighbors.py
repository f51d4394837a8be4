"""Peers in Python: the K users most similar to each by the cosine of whole rows.

Usage: similarity_neighbors.py NAME FILE VALUES SAMPLE K. FILE: users and ratings (counts), offsets,
items (u32) and ratings (f32). VALUES: another program's K values of each user, best first (f64).
NAME: implicit (all users, two threads) or scikit-learn (the first SAMPLE users, one thread).
Prints the wall seconds and the CPU seconds of the search, and the largest difference of a value.
"""

import sys
import time

try:
    import numpy as np
    from scipy.sparse import csr_matrix
except ImportError:
    sys.exit("numpy or scipy is missing: python3 -m pip install scipy")

ROWS_AT_ONCE = 250


def load(path):
    words = np.fromfile(path, dtype="<u4")
    users, count = int(words[0]), int(words[1])
    offsets, rest = words[2 : users + 3], words[users + 3 :]
    items, ratings = rest[:count], rest[count:].view("<f4").astype(np.float64)
    matrix = csr_matrix((ratings, items.astype(np.int32), offsets.astype(np.int32)))
    matrix.sort_indices()
    return matrix


def without_self(lists, k):
    """The k best of each list of (users, values), less the user itself."""
    values = np.full((len(lists), k), np.nan)
    for user, (others, found) in enumerate(lists):
        found = np.sort(found[others != user])[::-1][:k]
        values[user, : len(found)] = found
    return values


def implicit(matrix, sample, k):
    from implicit.nearest_neighbours import CosineRecommender

    # It compares columns: users become columns. Each is the most similar to itself.
    items_users = matrix.T.tocsr()
    model = CosineRecommender(K=k + 1, num_threads=2)
    start = time.perf_counter(), time.process_time()
    model.fit(items_users, show_progress=False)
    seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    found = model.similarity
    ends = found.indptr
    lists = [
        (found.indices[a:b], found.data[a:b]) for a, b in zip(ends[:sample], ends[1 : sample + 1])
    ]
    return seconds, lists


def scikit_learn(matrix, sample, k):
    from sklearn.metrics.pairwise import cosine_similarity

    lists = []
    start = time.perf_counter(), time.process_time()
    for first in range(0, sample, ROWS_AT_ONCE):
        rows = matrix[first : min(first + ROWS_AT_ONCE, sample)]
        values = cosine_similarity(rows, matrix)
        best = np.argpartition(values, -(k + 1), axis=1)[:, -(k + 1) :]
        lists.extend(zip(best, np.take_along_axis(values, best, axis=1)))
    return (time.perf_counter() - start[0], time.process_time() - start[1]), lists


def main():
    name, file, values, sample, k = sys.argv[1:]
    sample, k = int(sample), int(k)
    matrix = load(file)
    search = {"implicit": implicit, "scikit-learn": scikit_learn}[name]
    try:
        seconds, lists = search(matrix, sample, k)
    except ImportError as error:
        sys.exit(f"{error}: python3 -m pip install {name}")
    theirs = without_self(lists, k)
    ours = np.fromfile(values, dtype="<f8").reshape(-1, k)[:sample]
    ours, theirs = np.nan_to_num(ours), np.nan_to_num(theirs)
    print(*seconds, np.abs(ours - theirs).max())


main()

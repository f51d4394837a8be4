/**
 * What WebAssembly asks between blocks of work, from any thread of the pool: it hands in the
 * progress and hears whether to stop. Import `sommos:checkpoint` of the modules.
 */
let answer: (done: number, total: number) => boolean = () => false;

/** Takes progress; true stops the computation. */
export function checkpoint(done: number, total: number): boolean {
  return answer(done, total);
}

/** Decides what a checkpoint does in this thread. */
export function setCheckpoint(next: (done: number, total: number) => boolean): void {
  answer = next;
}

/** Progress and stop flag through shared memory. */
export function shareCheckpoint(stop: Int32Array, units: Float64Array): void {
  answer = (done, total) => {
    // Threads report sums that may overtake each other; the largest is the truth.
    if (done > units[0]! || total !== units[1]) {
      units[0] = done;
      units[1] = total;
    }
    return Atomics.load(stop, 0) !== 0;
  };
}

/** The results of a batch by chunk. */
export class ChunkResults {
  protected readonly chunks = new Map<number, unknown[]>();

  /** Takes what a chunk gave. */
  put(chunk: number, items: unknown[]): void {
    this.chunks.set(chunk, items);
  }

  /** The chunks that are there, in order. */
  indices(): number[] {
    return [...this.chunks.keys()].sort((a, b) => a - b);
  }

  /** What a chunk gave. */
  get(chunk: number): unknown[] {
    return this.chunks.get(chunk) ?? [];
  }

  /** All items in the order of the input. */
  all(): unknown[] {
    return this.indices().flatMap((chunk) => this.get(chunk));
  }
}

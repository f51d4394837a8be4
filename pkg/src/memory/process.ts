/** The parts of Node's `process` that tell of memory; absent in browsers. */
interface ProcessLike {
  memoryUsage?: () => { heapUsed: number; heapTotal: number; external: number; rss: number };
}

/** Chromium's `performance.memory`. */
interface HeapInfo {
  usedJSHeapSize: number;
  totalJSHeapSize: number;
  jsHeapSizeLimit: number;
}

/** The memory of this process or page, bytes; null where the platform does not tell. */
export interface CurrentMemory {
  heapUsed: number | null;
  heapTotal: number | null;
  external: number | null;
  rss: number | null;
}

/** Chromium's figures of the page's heap. */
export function pageHeap(): HeapInfo | undefined {
  return (globalThis.performance as { memory?: HeapInfo } | undefined)?.memory;
}

/** What the platform tells now. */
export function currentMemory(): CurrentMemory {
  const process = (globalThis as { process?: ProcessLike }).process;
  if (typeof process?.memoryUsage === 'function') {
    const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
    return { heapUsed, heapTotal, external, rss };
  }
  const heap = pageHeap();
  return {
    heapUsed: heap?.usedJSHeapSize ?? null,
    heapTotal: heap?.totalJSHeapSize ?? null,
    external: null,
    rss: null,
  };
}

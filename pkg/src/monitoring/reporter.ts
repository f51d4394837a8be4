import { SommosError } from '../errors.js';

/** Entries of one report: as many as the server takes. */
const BATCH_MAX = 1000;
/** Entries that wait; then the oldest are given up. */
const WAITING_MAX = 5000;

/** One entry of a report to POST /api/performance/metrics. */
export type ReportEntry =
  | { name: string; value: number; rating?: string | undefined; url?: string | undefined }
  | { kind: 'error'; name: string; message: string }
  | { kind: 'dbQuery'; duration: number }
  | { kind: 'mlPrediction'; name: string; duration: number; accuracy?: number | undefined }
  | { kind: 'cacheOperation'; hit: boolean };

/** Sends records to a server, many in one request. */
export class Reporter {
  readonly #endpoint: string;
  readonly #failed: (error: unknown) => void;
  #waiting: ReportEntry[] = [];
  #sending = false;

  constructor(endpoint: string, failed: (error: unknown) => void) {
    this.#endpoint = endpoint;
    this.#failed = failed;
  }

  add(entry: ReportEntry): void {
    if (this.#waiting.length >= WAITING_MAX) this.#waiting.shift();
    this.#waiting.push(entry);
  }

  /** Sends one batch; what could not be sent for want of a network waits for the next time. */
  async flush(leaving = false): Promise<void> {
    if (this.#sending || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, BATCH_MAX);
    this.#sending = true;
    try {
      const response = await fetch(this.#endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ metrics: batch }),
        keepalive: leaving,
      });
      if (!response.ok) {
        const message = `the server answered a report of ${batch.length} metrics with ${response.status}`;
        // The same report would be refused again, unless the server is out of breath.
        if (response.status === 429 || response.status >= 500) this.#putBack(batch);
        this.#failed(new SommosError('REPORT_FAILED', message));
      }
    } catch (cause) {
      this.#putBack(batch);
      const message = `${batch.length} metrics could not be sent and wait for the next time`;
      this.#failed(new SommosError('REPORT_FAILED', message, { cause }));
    } finally {
      this.#sending = false;
    }
  }

  #putBack(batch: ReportEntry[]): void {
    this.#waiting = [...batch, ...this.#waiting].slice(-WAITING_MAX);
  }
}

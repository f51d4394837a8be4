import { SommosError } from '../errors.js';
import type { JobStore, StoredJob } from './store.js';

/**
 * Submits the jobs of a store again under their old ids. A job that was running when the page went
 * has used up an attempt; one that has none left would only end the next page too, so it is
 * deleted. Gives what is to be said of those.
 */
export async function restoreJobs(
  store: JobStore,
  submit: (job: StoredJob, createdAt: number) => void,
): Promise<SommosError[]> {
  const lost: SommosError[] = [];
  let stored: StoredJob[];
  try {
    stored = await store.load();
  } catch (error) {
    throw SommosError.from(error, 'STORE_FAILED');
  }
  const created = (job: StoredJob): number => Number(job.id.split('_')[1]);
  // In order of time: the queue takes its time from its callers.
  stored.sort((a, b) => created(a) - created(b));
  for (const job of stored) {
    if (job.attempts > job.options.retries) {
      await store.delete(job.id);
      const message = `job ${job.id} ended with its page in each of its ${job.attempts} attempts`;
      lost.push(new SommosError('WORKER_LOST', message));
    } else {
      submit(job, created(job));
    }
  }
  return lost;
}

/** The random half of an id. */
export function entropyOf(id: string): Uint8Array {
  const hex = id.slice(id.lastIndexOf('_') + 1);
  return Uint8Array.from({ length: 16 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

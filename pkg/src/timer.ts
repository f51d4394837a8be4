/** A repeating timer that keeps no Node process alive; the answer stops it. */
export function every(ms: number, round: () => void): () => void {
  const timer = setInterval(round, ms) as unknown;
  (timer as { unref?: () => void }).unref?.();
  return () => clearInterval(timer as number);
}

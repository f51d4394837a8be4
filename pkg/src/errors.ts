/** Every error of the package: `code` is for programs, `message` for people. */
export class SommosError extends Error {
  /** A stable word, for instance `INVALID_OPTION`, `LIMIT_EXCEEDED`, `CLOSED`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SommosError';
    this.code = code;
  }

  /** An error out of WebAssembly, or any other thrown value, as one of ours. */
  static from(thrown: unknown, fallback = 'INTERNAL'): SommosError {
    if (thrown instanceof SommosError) return thrown;
    if (thrown instanceof Error) {
      const code = (thrown as { code?: unknown }).code;
      return new SommosError(typeof code === 'string' ? code : fallback, thrown.message, {
        cause: thrown,
      });
    }
    return new SommosError(fallback, String(thrown), { cause: thrown });
  }
}

/** Runs a call into WebAssembly; what it throws becomes a {@link SommosError}. */
export function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw SommosError.from(thrown);
  }
}

/** The reason of an aborted signal, as `fetch` rejects with it. */
export function abortReason(signal: AbortSignal): unknown {
  return signal.reason ?? new DOMException('The operation was aborted.', 'AbortError');
}

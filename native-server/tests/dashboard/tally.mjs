// What held and what did not.

let passed = 0;
let failed = 0;

/** One expectation; `found` is told when it does not hold. */
export function check(name, holds, found) {
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `${name}: as expected` : `FAILED ${name}: ${JSON.stringify(found)}`);
}

/** A part of the tests: an error in it is one failure, the next part runs all the same. */
export async function part(name, run) {
  const started = performance.now();
  try {
    await run();
  } catch (error) {
    check(name, false, error.stack ?? String(error));
  }
  console.log(`  ${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** The closing line; the exit code is 1 when anything failed. */
export function close() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
}

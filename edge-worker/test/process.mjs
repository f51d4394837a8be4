// The worker in a process of its own, on storage of its own: for tests that kill it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const folders = [];
const hosts = new Set();

/** Kills what still runs and removes the folders. */
export function cleanUp() {
  for (const host of hosts) host.kill();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** The worker in a process group of its own, so that it and workerd can be killed as one. */
export class Host {
  static async start(folder, bindings) {
    const host = new Host();
    const script = resolve(import.meta.dirname, 'host.mjs');
    const args = [script, 'build', folder, JSON.stringify(bindings)];
    host.child = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface({ input: host.child.stdout }), 'line');
    host.origin = JSON.parse(line).origin;
    hosts.add(host);
    return host;
  }

  kill() {
    hosts.delete(this);
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }

  /** Puts messages into the worker's queue. */
  async send(messages) {
    this.child.stdin.write(`${JSON.stringify(messages)}\n`);
    await sleep(500);
  }

  async call(method, path, body) {
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    return { http: response.status, ...(await response.json()) };
  }
}

/** A folder for storage, removed by `cleanUp`. */
export const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'sommos-edge-'));
  folders.push(made);
  return made;
};

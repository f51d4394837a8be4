// The server under test: its own process, a free port, a folder of its own.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const PROGRAM = process.env.SOMMOS_SERVER ?? resolve(import.meta.dirname, '../../../target/debug/sommos-server');
const START_MS = 60_000;

/**
 * Starts it with further flags and variables of the environment. `kill` ends it by its pid, and `start`
 * brings it back on its port; `stop` removes its folder, too.
 */
export class Server {
  #folder = mkdtempSync(join(tmpdir(), 'sommos-dashboard-'));
  #flags;
  #env;
  #child = null;
  #listen = '127.0.0.1:0';
  url = '';

  constructor(flags = [], env = {}) {
    this.#flags = flags;
    this.#env = env;
  }

  async start() {
    const flags = ['--listen', this.#listen, '--data-dir', this.#folder, ...this.#flags];
    this.#child = spawn(PROGRAM, flags, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.#env } });
    let log = '';
    this.url = await new Promise((found, failed) => {
      const timer = setTimeout(() => failed(new Error(`the server did not start:\n${log}`)), START_MS);
      const read = (text) => {
        log = (log + text).slice(-20_000);
        const at = /listening on (http:\/\/[0-9.:]+)/.exec(log);
        if (!at) return;
        clearTimeout(timer);
        found(at[1]);
      };
      this.#child.stdout.on('data', read);
      this.#child.stderr.on('data', read);
      this.#child.once('exit', (code) => {
        clearTimeout(timer);
        failed(new Error(`the server ended with ${code}:\n${log}`));
      });
    });
    this.#listen = new URL(this.url).host;
    return this;
  }

  /** Ends it as `kill -9` does, and waits until it is gone. */
  async kill(signal = 'SIGKILL') {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    process.kill(child.pid, signal);
    await gone;
  }

  /** Ends it and removes its folder. */
  async stop() {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Whether its API has a path. */
  async offers(path) {
    const document = await (await fetch(`${this.url}/api/openapi.json`)).json();
    return Object.hasOwn(document.paths, `/api/performance/${path}`);
  }

  /** A call of the API, for what the test itself needs. */
  async call(method, path, body, headers = {}) {
    const response = await fetch(`${this.url}/api/performance/${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer.data ?? answer;
  }
}

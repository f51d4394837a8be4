// The wasm module as a shell of the vector runner: one JSON line in, one JSON line out.
//
//   node tests/node/shell.mjs FOLDER_OF_THE_MODULE
//
// {"op":"new","config":{...},"now":MS}   a fresh service
// {"op":"handle","now":MS,"method","path","query","contentType","accept","body":BASE64}
// {"op":"run","now":MS}                  runs all work that is due

import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const { Service } = require(resolve(process.argv[2], 'sommos_wasm.js'));

let service;

const operations = {
  new({ config, now }) {
    service?.free();
    service = new Service(JSON.stringify(config), now);
    return {};
  },
  handle({ now, method, path, query, contentType, accept, body }) {
    const bytes = Buffer.from(body, 'base64');
    const answer = service.handle(now, method, path, query, contentType, accept, bytes);
    const reply = {
      status: answer.status,
      contentType: answer.contentType,
      body: Buffer.from(answer.body).toString('base64'),
    };
    answer.free();
    return reply;
  },
  run({ now }) {
    while (service.runNext(now));
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    const request = JSON.parse(line);
    reply = operations[request.op](request);
  } catch (error) {
    reply = { error: `${error?.message ?? error}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

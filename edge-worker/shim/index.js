// What Cloudflare runs: the handlers and the Durable Object classes of `src`, each under the guard.

import * as bindings from 'sommos:bindings';
import { answered, guarded } from './guard.js';
import { durable } from './object.js';

export default {
  fetch: (request, env, ctx) => answered(() => bindings.fetch(request, env, ctx)),
  // A batch or a cron run that fails is the platform's to repeat or to report.
  queue: (batch, env, ctx) => guarded(() => bindings.queue(batch, env, ctx)),
  scheduled: (event, env, ctx) => guarded(() => bindings.scheduled(event, env, ctx)),
};

export const JobQueue = durable(bindings.JobQueue);
export const CacheGroup = durable(bindings.CacheGroup);
export const MonitorState = durable(bindings.MonitorState);

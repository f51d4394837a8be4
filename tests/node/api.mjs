// The vectors' side of the package's REST API in memory: runs where the package runs, in Node and
// in a page.

/** The operations of the line protocol (see shell.mjs) over one PerformanceApi at a time. */
export function operations(PerformanceApi, module) {
  let api;
  let clock = 0;
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const base64 = (body) => {
    let text = '';
    for (let at = 0; at < body.length; at += 8192) {
      text += String.fromCharCode(...body.subarray(at, at + 8192));
    }
    return btoa(text);
  };
  return {
    async new({ config, now }) {
      api?.close();
      clock = now;
      api = await PerformanceApi.create(module, config, () => clock);
      return {};
    },
    handle({ now, body, ...request }) {
      clock = now;
      const answer = api.handle({ ...request, body: bytes(body) });
      return { status: answer.status, contentType: answer.contentType, body: base64(answer.body) };
    },
    run({ now }) {
      clock = now;
      return { pieces: api.runDue() };
    },
  };
}

/** Answers one request of the protocol; an error becomes its message. */
export async function answer(table, request) {
  try {
    return await table[request.op](request);
  } catch (error) {
    return { error: `${error?.message ?? error}` };
  }
}

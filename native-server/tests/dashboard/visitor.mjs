// One visitor: a page of a browser context of its own, and everything it complained of.

export const PHONE = { width: 360, height: 740 };
export const DESKTOP = { width: 1360, height: 900 };

/** Calls that a server may lack: the browser tells of the 404 itself. */
const OPTIONAL = /404 .*monitoring\/(trends|rules|alerts\/history|profile)/;

/** Opens the dashboard. `complaints` has errors, refusals of the policy and foreign requests. */
export async function visit(browser, server, { hash = '', init, ...options } = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  const complaints = [];
  /** Set while the server is away: that requests then fail is no complaint. */
  const away = { yes: false };
  context.on('weberror', (error) => complaints.push(String(error.error())));
  context.on('console', (message) => {
    const text = message.text();
    if (away.yes && /net::ERR_/.test(text)) return;
    const told = `${text} ${message.location().url}`;
    // The second is told of the tests' own look at the canvas.
    if (OPTIONAL.test(told) || text.includes('willReadFrequently')) return;
    if (['error', 'warning'].includes(message.type()) || text.startsWith('CSP')) complaints.push(told);
  });
  context.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(server.url))
      complaints.push(`foreign: ${request.url()}`);
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.log(`CSP: ${event.violatedDirective} refuses ${event.blockedURI}`),
    );
  });
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(`${server.url}/${hash}`);
  return { context, page, complaints, away };
}

export const state = (page, wanted, timeout = 40_000) =>
  page.locator(`#connection[data-state=${wanted}]`).waitFor({ timeout });
export const tab = (page, name) => page.locator(`#tab-${name}`).click();
export const text = (page, selector) => page.locator(selector).first().textContent();

/** The points of a chart, by its id. */
export const points = (page, chart) => page.locator(`[data-chart=${chart}]`).getAttribute('data-points').then(Number);

/** Whether a chart's canvas has anything on it. */
export const drawn = (page, selector) =>
  page.evaluate((where) => {
    const canvas = document.querySelector(`${where} canvas`);
    if (!canvas) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((byte) => byte > 0);
  }, selector);

/** What of a chart is painted, as a number that differs between two pictures. */
export const picture = (page, chart) =>
  page.evaluate((name) => {
    const canvas = document.querySelector(`[data-chart=${name}] canvas`);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let hash = 17;
    for (let i = 0; i < data.length; i += 4) hash = (hash * 31 + data[i] + 3 * data[i + 3]) | 0;
    return hash;
  }, chart);

// For everybody: the keyboard alone, axe's rules, a phone's width, both schemes.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { check } from './tally.mjs';
import { DESKTOP, PHONE, drawn, state, tab, visit } from './visitor.mjs';

const VIEWS = ['overview', 'cache', 'jobs', 'batches', 'alerts', 'load', 'memory', 'system'];
const fromPackage = createRequire(resolve(import.meta.dirname, '../../../pkg/package.json'));
const AXE = readFileSync(fromPackage.resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const focused = (page) =>
  page.evaluate(() => {
    const node = document.activeElement;
    const style = getComputedStyle(node);
    return {
      text: (node.getAttribute('aria-label') ?? node.textContent ?? '').trim(),
      id: node.id,
      role: node.getAttribute('role'),
      ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    };
  });

export async function keyboard(browser, server) {
  const { context, page, complaints } = await visit(browser, server);
  await state(page, 'live');
  await page.bringToFront();
  // A page that was never touched may give its first press of Tab to itself.
  for (let i = 0; i < 2 && (await page.evaluate(() => document.activeElement === document.body)); i += 1)
    await page.keyboard.press('Tab');
  check(
    'the first stop skips to the figures',
    (await focused(page)).text === 'Skip to the figures',
    await focused(page),
  );
  const stops = [];
  for (let i = 0; i < 12 && stops.at(-1)?.role !== 'tab'; i += 1) {
    await page.keyboard.press('Tab');
    stops.push(await focused(page));
  }
  check(
    'Tab leads by the tools to the tabs',
    stops
      .map((s) => s.id)
      .join(' ')
      .startsWith('range theme token') && stops.at(-1).id === 'tab-overview',
    stops,
  );
  check(
    'the focus is seen at each stop',
    stops.every((s) => s.ring),
    stops,
  );
  await page.keyboard.press('ArrowRight');
  check(
    'an arrow shows the next view',
    (await focused(page)).id === 'tab-cache' && (await page.locator('#view-cache').isVisible()),
  );
  await page.keyboard.press('End');
  check('End shows the last', await page.locator('#view-system').isVisible());
  await page.keyboard.press('ArrowRight');
  check('after the last comes the first', await page.locator('#view-overview').isVisible());
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await submit(page);
  check('the keyboard complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

/** A sample job is submitted, and its details read, without a pointer. */
async function submit(page) {
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press('Tab');
    if ((await focused(page)).text === 'Submit') break;
  }
  await page.keyboard.press('Enter');
  await page.locator('#view-jobs tr[data-job]').first().waitFor();
  await page.locator('#tab-jobs').focus();
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press('Tab');
    if ((await focused(page)).text.startsWith('Details')) break;
  }
  await page.keyboard.press('Enter');
  await page.locator('dialog[open]').waitFor();
  const within = await page.evaluate(() => document.querySelector('dialog[open]').contains(document.activeElement));
  check('a dialog takes the focus', within);
  await page.keyboard.press('Escape');
  check('and gives it back', (await focused(page)).text.startsWith('Details'), await focused(page));
}

export async function axe(browser, server) {
  for (const colorScheme of ['dark', 'light']) {
    const { context, page } = await visit(browser, server, { colorScheme, viewport: DESKTOP });
    await state(page, 'live');
    for (const name of VIEWS) {
      await tab(page, name);
      // The view's first answers change what stands in it.
      await page.waitForTimeout(500);
      await ruled(page, `${name}, ${colorScheme}`);
    }
    await page.locator('#token').click();
    await page.locator('dialog[open]').waitFor();
    await ruled(page, `a dialog, ${colorScheme}`);
    await context.close();
  }
}

/** Holds what is shown against axe's rules. */
export async function ruled(page, what) {
  await page.evaluate(AXE);
  const found = await page.evaluate(
    (values) => globalThis.axe.run(document, { runOnly: { type: 'tag', values } }),
    RULES,
  );
  const wrong = found.violations.map((v) => {
    const places = v.nodes.map((node) => node.target.join(' '));
    return `${v.id}: ${places.slice(0, 3).join(', ')}`;
  });
  check(`axe finds nothing in ${what}`, wrong.length === 0, wrong);
}

export async function phone(browser, server) {
  const { context, page, complaints } = await visit(browser, server, {
    viewport: PHONE,
    hasTouch: true,
    isMobile: true,
    deviceScaleFactor: 2,
  });
  await state(page, 'live');
  for (const name of VIEWS) {
    await tab(page, name);
    await page.waitForTimeout(500);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`${name} fits a phone`, width <= PHONE.width, width);
  }
  await tab(page, 'overview');
  check('charts are drawn on a phone', await drawn(page, '[data-chart=requests]'));
  check('a phone complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

export async function schemes(browser, server) {
  const { context, page } = await visit(browser, server, { colorScheme: 'dark', reducedMotion: 'reduce' });
  await state(page, 'live');
  const ground = () => page.evaluate(() => getComputedStyle(document.body.parentElement).backgroundColor);
  const dark = await ground();
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'light');
  const light = await ground();
  check('the scheme follows the system', dark !== light, [dark, light]);
  const button = page.locator('#theme');
  await button.click();
  check(
    'the button chooses dark',
    (await ground()) === dark && (await button.textContent()) === 'Theme: dark',
    await button.textContent(),
  );
  await page.reload();
  check('the choice is kept', (await ground()) === dark);
  const moves = await page.evaluate(() => getComputedStyle(document.querySelector('#theme')).transitionDuration);
  check('nothing moves where motion is unwelcome', moves === '0s', moves);
  await context.close();
}

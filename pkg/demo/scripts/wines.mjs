// Makes public/data out of X-Wines' slim files (see README.md):
//
//   node scripts/wines.mjs XWines_Slim_1K_wines.csv XWines_Slim_ratings.csv[.gz]
//
// wines.json     the list: what is searched and shown for every wine
// details/N.json the rest, for the wines whose position modulo SHELVES is N
// ratings.bin    who rated what how, as compressed sparse rows; src/ratings.js tells the layout

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const SHELVES = 16;
const out = new URL('../public/data/', import.meta.url);
const [winesFile, ratingsFile] = process.argv.slice(2);
if (!ratingsFile) throw new Error('usage: node scripts/wines.mjs WINES.csv RATINGS.csv[.gz]');

/** Rows of a CSV as objects; quoted fields may hold commas and doubled quotes. */
function rows(file) {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const [head, ...lines] = text.split(/\r?\n/).filter(Boolean).map(fields);
  return lines.map((line) => Object.fromEntries(head.map((name, at) => [name, line[at]])));
}

function fields(line) {
  const found = line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g);
  return Array.from(found, ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
}

/** A list as Python writes it: ['Merlot', "Nero d'Avola"]. */
const list = (text) => Array.from(text.matchAll(/'([^']*)'|"([^"]*)"/g), ([, one, two]) => one ?? two);
const years = (text) => text.match(/\d{4}/g)?.map(Number) ?? [];
/** How many years, the first and the last. */
const span = (of) => (of.length ? [of.length, Math.min(...of), Math.max(...of)] : [0]);
const write = (name, content) => writeFileSync(new URL(name, out), content);
const byNumber = (a, b) => a - b;

const wines = rows(winesFile).map((wine) => ({ ...wine, stars: new Array(9).fill(0) }));
const position = new Map(wines.map((wine, at) => [wine.WineID, at]));

// The last rating counts when somebody rated several vintages of a wine.
const guests = new Map();
for (const { UserID, WineID, Rating, Date: date } of rows(ratingsFile)) {
  const wine = position.get(WineID);
  if (wine === undefined) continue;
  if (!guests.has(UserID)) guests.set(UserID, new Map());
  const rated = guests.get(UserID);
  if (!(rated.get(wine)?.date > date)) rated.set(wine, { halves: Math.round(Number(Rating) * 2), date });
}
const rated = [...guests.keys()].sort(byNumber).map((guest) => [...guests.get(guest)].sort((a, b) => a[0] - b[0]));
const all = rated.flat();
for (const [wine, { halves }] of all) wines[wine].stars[halves - 2] += 1;

const nibbles = new Uint8Array(Math.ceil(all.length / 2));
all.forEach(([, { halves }], at) => (nibbles[at >> 1] |= halves << (4 * (at & 1))));
const bytes = Buffer.concat([
  Buffer.from(Uint32Array.of(rated.length, all.length).buffer),
  Buffer.from(Uint16Array.from(rated, (row) => row.length).buffer),
  Buffer.from(Uint16Array.from(all, ([wine]) => wine).buffer),
  nibbles,
]);

rmSync(out, { recursive: true, force: true });
mkdirSync(new URL('details/', out), { recursive: true });
write('ratings.bin', bytes);
write(
  'wines.json',
  JSON.stringify({
    shelves: SHELVES,
    columns: ['id', 'name', 'type', 'country', 'winery', 'stars'],
    rows: wines.map(({ WineID, WineName, Type, Country, WineryName, stars }) => {
      const count = stars.reduce((sum, n) => sum + n, 0);
      const sum = stars.reduce((total, n, at) => total + n * (at / 2 + 1), 0);
      return [Number(WineID), WineName, Type, Country, WineryName, count ? Math.round((sum / count) * 10) / 10 : null];
    }),
  }),
);
for (let shelf = 0; shelf < SHELVES; shelf++) {
  const held = wines.filter((_, at) => at % SHELVES === shelf);
  const details = held.map((wine) => [
    wine.WineID,
    {
      grapes: list(wine.Grapes),
      dishes: list(wine.Harmonize),
      abv: Number(wine.ABV),
      body: wine.Body,
      acidity: wine.Acidity,
      region: wine.RegionName,
      vintages: span(years(wine.Vintages)),
      stars: wine.stars,
    },
  ]);
  write(`details/${shelf}.json`, JSON.stringify(Object.fromEntries(details)));
}
console.log(`${wines.length} wines, ${rated.length} guests, ${all.length} ratings`);

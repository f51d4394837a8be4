// Numbers, sizes and times as people read them, in the browser's language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const digits = [0, 1, 2, 3].map((n) => new Intl.NumberFormat(undefined, { maximumFractionDigits: n }));
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** What stands where a figure is unknown. */
export const NONE = '–';
const known = (value) => value !== null && value !== undefined && Number.isFinite(Number(value));

/** About three significant digits, without losing whole ones. */
export function number(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  const format = size >= 100 ? digits[0] : size >= 10 ? digits[1] : size >= 1 ? digits[2] : digits[3];
  return format.format(value);
}

export const count = (value) => (known(value) ? (Math.abs(value) >= 1e7 ? compact : whole).format(value) : NONE);
/** Percent, of 0 to 100. */
export const percent = (value) => (known(value) ? `${digits[Math.abs(value) >= 10 ? 1 : 2].format(value)} %` : NONE);
/** Percent, of 0 to 1. */
export const share = (value) => percent(known(value) ? value * 100 : null);
export const rate = (value) => (known(value) ? `${number(value)} /s` : NONE);

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
export function bytes(value) {
  if (!known(value)) return NONE;
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${value < 0 ? '−' : ''}${unit === 0 ? whole.format(size) : number(size)} ${UNITS[unit]}`;
}

/** Milliseconds as a time that passed. */
export function duration(ms) {
  if (!known(ms)) return NONE;
  if (ms < 1000) return `${number(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${number(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return two(minutes, 'min', Math.floor(s % 60), 's');
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? two(hours, 'h', minutes % 60, 'min') : two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

const two = (first, unit, second, lower) => `${first} ${unit}${second > 0 ? ` ${second} ${lower}` : ''}`;

/** Unix milliseconds as a time of today, or with its date. */
export function time(ms) {
  if (!known(ms)) return NONE;
  const at = new Date(ms);
  return (at.toDateString() === new Date().toDateString() ? clock : dated).format(at);
}

/** How long ago, in one unit. */
export function ago(ms, now = Date.now()) {
  if (!known(ms)) return NONE;
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return s < 172_800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86_400)} d ago`;
}

/** `camelCase` and `snake_case` as words. */
export function words(name) {
  const text = String(name)
    .replace(/([a-z])([A-Z0-9])/g, '$1 $2')
    .replace(/_/g, ' ')
    .toLowerCase()
    .replace(/\bcpu\b/g, 'CPU');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The readable part of an id: its last eight digits. */
export const shortId = (id) => `…${String(id).slice(-8)}`;

// Dark or light: as the system says, or as the user does.

import { byId, setText } from './element.js';

const KEY = 'sommos-theme';
const CHOICES = ['auto', 'dark', 'light'];
const system = matchMedia('(prefers-color-scheme: light)');

/** Emits `change` when colours did. */
export const theme = new EventTarget();

function apply(choice) {
  const shown = choice === 'auto' ? (system.matches ? 'light' : 'dark') : choice;
  document.documentElement.dataset.theme = shown;
  const button = byId('theme');
  setText(button, `Theme: ${choice}`);
  button.setAttribute('aria-label', `Theme: ${choice}. Change it`);
  theme.dispatchEvent(new Event('change'));
}

export function startTheme() {
  let choice = localStorage.getItem(KEY);
  if (!CHOICES.includes(choice)) choice = 'auto';
  apply(choice);
  system.addEventListener('change', () => apply(choice));
  byId('theme').addEventListener('click', () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    localStorage.setItem(KEY, choice);
    apply(choice);
  });
}

/** A colour of the style sheet. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

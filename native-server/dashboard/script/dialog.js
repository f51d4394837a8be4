// Dialogs: questions and details. The browser keeps the focus within and gives it back.

import { freshId, h } from './element.js';

function open(title, body, buttons) {
  const id = freshId('dialog');
  const dialog = h(
    'dialog',
    { 'aria-labelledby': id },
    h('h2', { id }, title),
    body,
    h('div', { class: 'row end' }, buttons),
  );
  const before = document.activeElement;
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks; true when it was agreed to. */
export function confirm({ title, text, action }) {
  return new Promise((answer) => {
    let agreed = false;
    const yes = h('button', { type: 'button', class: 'danger' }, action);
    const no = h('button', { type: 'button', autofocus: true }, 'Keep');
    const dialog = open(title, h('p', {}, text), [no, yes]);
    yes.addEventListener('click', () => {
      agreed = true;
      dialog.close();
    });
    no.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => answer(agreed));
  });
}

/** Shows something until it is closed. */
export function details(title, ...body) {
  const close = h('button', { type: 'button', autofocus: true }, 'Close');
  const dialog = open(title, h('div', { class: 'stack' }, body), [close]);
  dialog.classList.add('wide');
  close.addEventListener('click', () => dialog.close());
}

let asking = false;
/** Asks for a token; null when it was not given. */
export function askToken(current, why) {
  if (asking) return Promise.resolve(null);
  asking = true;
  return new Promise((answer) => {
    let given = null;
    const id = freshId('token');
    const input = h('input', {
      id,
      type: 'password',
      autocomplete: 'off',
      spellcheck: 'false',
      value: current,
      autofocus: true,
    });
    const save = h('button', { type: 'submit', class: 'primary' }, 'Use it');
    const cancel = h('button', { type: 'button' }, 'Cancel');
    const form = h(
      'form',
      { id: `${id}-form`, class: 'stack' },
      h('p', {}, why),
      h('label', { class: 'field', for: id }, h('span', {}, 'Token'), input),
      h('p', { class: 'dim' }, 'It is kept in this tab until it is closed. Empty forgets it.'),
    );
    save.setAttribute('form', form.id);
    const dialog = open('Access token', form, [cancel, save]);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      given = input.value;
      dialog.close();
    });
    cancel.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      asking = false;
      answer(given);
    });
  });
}

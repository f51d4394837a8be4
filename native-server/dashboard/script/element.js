// Elements: made, filled and compared. Data only ever becomes text.

/**
 * An element. `props`: `class`, `on` (listeners by event), `data` (data-*), anything else is an
 * attribute; `true` is an empty one, `false`, `null` and `undefined` none. Children: nodes, text,
 * or nothing.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === 'class') node.className = value;
    else if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === 'data') Object.assign(node.dataset, value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets text only where it differs, so that nothing is announced or laid out for nothing. */
export function setText(node, text) {
  const value = String(text);
  if (node.textContent !== value) node.textContent = value;
}

/** Shows or hides. */
export function show(node, shown) {
  if (node.hidden === Boolean(shown)) node.hidden = !shown;
}

export const byId = (id) => document.getElementById(id);

let counter = 0;
/** An id for labels: unique in the page. */
export const freshId = (word) => `${word}-${(counter += 1)}`;

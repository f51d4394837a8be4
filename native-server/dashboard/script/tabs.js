// The views as tabs: arrow keys move between them, the address names the one that is shown.

import { byId, h } from './element.js';

/** Makes a tab and a panel of each view and shows the one of the address. */
export function startTabs(views) {
  const list = byId('tabs');
  const main = byId('main');
  const made = views.map((view) => {
    const tab = h(
      'button',
      { type: 'button', role: 'tab', id: `tab-${view.id}`, 'aria-controls': `view-${view.id}`, tabindex: '-1' },
      view.title,
    );
    const panel = h(
      'section',
      { role: 'tabpanel', id: `view-${view.id}`, 'aria-labelledby': tab.id, class: 'view', hidden: true },
      view.element,
    );
    list.append(tab);
    main.append(panel);
    return { view, tab, panel };
  });
  let shown = null;

  function choose(id, focus) {
    const next = made.find((one) => one.view.id === id) ?? made[0];
    if (next === shown) return;
    for (const one of made) {
      const selected = one === next;
      one.tab.setAttribute('aria-selected', String(selected));
      one.tab.tabIndex = selected ? 0 : -1;
      one.panel.hidden = !selected;
    }
    shown?.view.hide?.();
    shown = next;
    next.view.show?.();
    document.title = `${next.view.title} · SommOS performance`;
    if (focus) next.tab.focus();
    next.tab.scrollIntoView({ block: 'nearest', inline: 'center' });
    history.replaceState(null, '', `#${next.view.id}`);
  }

  list.addEventListener('click', (event) => {
    const one = made.find(({ tab }) => tab.contains(event.target));
    if (one) choose(one.view.id, true);
  });
  list.addEventListener('keydown', (event) => {
    const at = made.indexOf(shown);
    const to = {
      ArrowRight: (at + 1) % made.length,
      ArrowLeft: (at + made.length - 1) % made.length,
      Home: 0,
      End: made.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(made[to].view.id, true);
  });
  addEventListener('hashchange', () => choose(location.hash.slice(1), false));
  choose(location.hash.slice(1), false);
  return { choose, badge: (id, text) => badge(made.find((one) => one.view.id === id).tab, text) };
}

function badge(tab, text) {
  let mark = tab.querySelector('.badge');
  if (!text) {
    mark?.remove();
    return;
  }
  if (!mark) {
    mark = h('span', { class: 'badge' });
    tab.append(mark);
  }
  if (mark.textContent !== text) mark.textContent = text;
}

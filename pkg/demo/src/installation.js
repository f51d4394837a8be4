// What makes the page an app: the service worker, the badge when the network is gone, the button
// that installs it where the browser offers that.

import { registerSW } from 'virtual:pwa-register';
import { element } from './dom.js';

/** Installs and watches. */
export function installation() {
  registerSW({ immediate: true });

  const badge = element('offline');
  const show = () => (badge.hidden = navigator.onLine);
  addEventListener('online', show);
  addEventListener('offline', show);
  show();

  const button = element('install');
  let offer;
  addEventListener('beforeinstallprompt', (event) => {
    event.preventDefault();
    offer = event;
    button.hidden = false;
  });
  button.addEventListener('click', async () => {
    button.hidden = true;
    await offer?.prompt();
  });
  addEventListener('appinstalled', () => (button.hidden = true));
}

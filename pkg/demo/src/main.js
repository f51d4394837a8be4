// The demonstration's page: puts the engine's classes and the views together.

import { MemoryOptimizationEngine, PerformanceMonitoringEngine, init, mode } from '@sommos/performance';
import '../style/base.css';
import '../style/list.css';
import '../style/dialog.css';
import '../style/engine.css';
import { Catalogue } from './catalogue.js';
import { Cellar } from './cellar.js';
import { Comparison } from './comparison.js';
import { WineDialog } from './detail.js';
import { count, element } from './dom.js';
import { installation } from './installation.js';
import { Instruments } from './instruments.js';
import { WineList } from './list.js';
import { loadRatings } from './ratings.js';
import { Similarity } from './similarity.js';
import { Traffic } from './traffic.js';

function showMode() {
  const { mode: kind, threads, reason } = mode();
  element('mode').textContent = kind === 'threads' ? `${threads} threads` : 'Single thread';
  element('mode').dataset.mode = kind;
  element('mode').title = reason;
  const how = kind === 'threads' ? `On ${threads} threads: ` : 'On one thread: ';
  element('mode-reason').textContent = `${how}${reason}.`;
}

/** On narrow screens one view is shown at a time. */
function tabs() {
  for (const tab of document.querySelectorAll('nav.tabs button')) {
    tab.addEventListener('click', () => {
      document.body.dataset.view = tab.dataset.view;
      document.querySelector('nav.tabs [aria-current]')?.removeAttribute('aria-current');
      tab.setAttribute('aria-current', 'page');
      scrollTo(0, 0);
    });
  }
}

function trouble(error) {
  element('trouble').textContent = `The demonstration could not start: ${error.message}`;
  element('trouble').hidden = false;
  console.error(error);
}

async function main() {
  tabs();
  installation();
  const [catalogue] = await Promise.all([Catalogue.load(), init({ monitoring: true })]);
  showMode();
  const monitor = new PerformanceMonitoringEngine();
  const memory = new MemoryOptimizationEngine();
  const cellar = new Cellar(catalogue, monitor);
  await cellar.open();
  if (cellar.warm > 0) element('warm').textContent = ` · ${count(cellar.warm)} entries from the last visit`;

  const ratings = await loadRatings(catalogue);
  const { items, offsets } = ratings;
  memory.allocate(items.byteLength + offsets.byteLength + ratings.ratings.byteLength, 'ratings');
  const similarity = new Similarity(ratings);
  // The threads may turn out not to start: then one does the work.
  similarity.engine.on('workerCreated', showMode);
  const dialog = new WineDialog(cellar, similarity);
  new WineList(catalogue, (wine) => dialog.open(wine));
  new Comparison(similarity, catalogue);
  new Traffic(cellar);
  new Instruments(cellar.cache, memory, monitor);
}

main().catch(trouble);

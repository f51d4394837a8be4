// What bloom-filters takes for granted of Node.

import { Buffer } from 'buffer/index.js';

globalThis.Buffer = Buffer;

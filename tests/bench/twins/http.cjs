// The straightforward Express route over a Map: `node http.cjs` prints where it listens. Needs npm
// `express`, here or in NODE_PATH.
'use strict';
const express = require('express');

const cache = new Map();
const app = express();
app.use(express.json({ limit: '10mb' }));

app.get('/api/performance/cache/get/:key', (req, res) => {
  const entry = cache.get(req.params.key);
  if (entry === undefined || entry.expires < Date.now()) {
    return res.status(404).json({ success: false, error: 'Key not found in cache' });
  }
  return res.json({ success: true, data: entry.value });
});

app.post('/api/performance/cache/set', (req, res) => {
  const { key, value, ttl = 3600000 } = req.body;
  if (!key || value === undefined) {
    return res.status(400).json({ success: false, error: 'Key and value are required' });
  }
  cache.set(key, { value, expires: Date.now() + ttl });
  return res.json({ success: true, message: 'Value cached successfully' });
});

const server = app.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

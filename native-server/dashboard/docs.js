const el = (tag, text, ...children) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
};
const resolve = (doc, schema) =>
  schema && schema.$ref ? doc.components.schemas[schema.$ref.split('/').pop()] : schema;
const typeOf = (doc, schema) => {
  if (!schema) return 'any';
  if (schema.$ref) return schema.$ref.split('/').pop();
  const one = schema.oneOf?.filter(s => s.type !== 'null');
  if (one?.length) return one.map(s => typeOf(doc, s)).join(' | ');
  const type = [].concat(schema.type ?? 'any').join(' | ');
  return schema.items ? `${typeOf(doc, schema.items)}[]` : type;
};
const fields = (doc, schema) => {
  const found = resolve(doc, schema);
  const table = el('table');
  for (const [name, field] of Object.entries(found?.properties ?? {})) {
    const required = found.required?.includes(name) ? ' (required)' : '';
    table.append(el('tr', '', el('td', '', el('code', name)), el('td', typeOf(doc, field) + required),
      el('td', field.description ?? '')));
    const inner = resolve(doc, field.oneOf?.find(s => s.$ref) ?? field);
    if (inner?.properties && name !== 'error')
      for (const [sub, value] of Object.entries(inner.properties))
        table.append(el('tr', '', el('td', '', el('code', `${name}.${sub}`)), el('td', typeOf(doc, value)),
          el('td', value.description ?? '')));
  }
  return table;
};
const call = (doc, path, method, op) => {
  const body = el('div');
  body.className = 'body';
  if (op.parameters?.length) {
    const table = el('table');
    for (const p of op.parameters)
      table.append(el('tr', '', el('td', '', el('code', p.name)), el('td', `${p.in}, ${p.schema.type}`),
        el('td', p.description ?? '')));
    body.append(el('h3', 'Parameters'), table);
  }
  for (const [type, content] of Object.entries(op.requestBody?.content ?? {}))
    body.append(el('h3', `Request: ${type}`), fields(doc, content.schema));
  for (const [status, response] of Object.entries(op.responses)) {
    body.append(el('h3', `${status}: ${status === '200' ? Object.keys(response.content ?? {}).join(', ') : response.description}`));
    if (status === '200') body.append(fields(doc, response.content?.['application/json']?.schema));
  }
  const summary = el('summary', '', el('b', method.toUpperCase()), el('code', path), el('span', op.summary));
  const details = el('details', '', summary, body);
  details.dataset.text = `${method} ${path} ${op.summary}`.toLowerCase();
  return details;
};
fetch('/api/openapi.json').then(r => r.json()).then(doc => {
  document.getElementById('about').textContent = `Version ${doc.info.version}. ${doc.info.description}`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(doc.paths))
    for (const [method, op] of Object.entries(methods)) {
      const tag = op.tags[0];
      if (!groups.has(tag)) groups.set(tag, el('section', '', el('h2', tag)));
      groups.get(tag).append(call(doc, path, method, op));
    }
  document.getElementById('calls').append(...groups.values());
}).catch(error => { document.getElementById('about').textContent = `The document could not be read: ${error}`; });
document.getElementById('filter').addEventListener('input', event => {
  const wanted = event.target.value.toLowerCase();
  for (const details of document.querySelectorAll('details')) details.hidden = !details.dataset.text.includes(wanted);
  for (const section of document.querySelectorAll('section'))
    section.hidden = !section.querySelector('details:not([hidden])');
});

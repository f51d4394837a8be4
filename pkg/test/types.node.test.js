// The documented API against the types and against the classes themselves: what SommOS calls is in
// api.json; a method, event or option that is missing from either fails here.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import ts from 'typescript';
import * as sommos from '@sommos/performance';

const documented = JSON.parse(readFileSync(new URL('./api.json', import.meta.url)));
const EMITTER = ['on', 'once', 'off', 'emit', 'removeAllListeners'];
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const index = path('../dist/types/index.d.ts');
const options = {
  strict: true,
  lib: ['lib.es2024.d.ts', 'lib.dom.d.ts', 'lib.esnext.disposable.d.ts'],
  types: [],
  noEmit: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
};
const instancesFile = path('./types/instances.ts');
const program = ts.createProgram([index, instancesFile], options);
const checker = program.getTypeChecker();
const exported = new Map(
  checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(index))).map((symbol) => [symbol.name, symbol]),
);

const [declared] = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(instancesFile)));
const instances = checker.getTypeOfSymbol(declared);

/** The type of a class's instances, and that of its constructor. */
function typesOf(name) {
  const symbol = exported.get(name);
  assert.isDefined(symbol, `${name} is not exported by the types`);
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return {
    instance: name === 'CacheFactory' ? undefined : checker.getTypeOfSymbol(instances.getProperty(name)),
    constructor: checker.getTypeOfSymbolAtLocation(target, target.valueDeclaration),
  };
}

/** Names of the events that `on` takes. */
function eventsOf(instance) {
  const on = checker.getTypeOfSymbol(instance.getProperty('on'));
  const [signature] = on.getCallSignatures();
  const event = checker.getTypeOfSymbol(signature.parameters[0]);
  const names = checker.getBaseConstraintOfType(event) ?? event;
  return (names.isUnion() ? names.types : [names]).filter((t) => t.isStringLiteral()).map((t) => t.value);
}

/** Names of the fields that the constructor's options may have. */
function optionsOf(constructor) {
  const [signature] = constructor.getConstructSignatures();
  const given = checker.getNonNullableType(checker.getTypeOfSymbol(signature.parameters[0]));
  const parts = given.isUnion() ? given.types : [given];
  return parts.flatMap((part) => checker.getPropertiesOfType(part).map((property) => property.name));
}

describe('the types', () => {
  for (const [name, { methods = [], statics = [], events = [], options: fields = [], emitter = true }] of Object.entries(documented)) {
    it(`of ${name} have what is documented`, () => {
      const { instance, constructor } = typesOf(name);
      const expected = [...methods, ...(emitter && events.length > 0 ? EMITTER : [])];
      for (const method of expected) assert.isDefined(instance.getProperty(method), `${name}.${method} is missing from the types`);
      for (const method of statics) assert.isDefined(constructor.getProperty(method), `${name}.${method} is missing from the types`);
      if (events.length > 0) assert.includeMembers(eventsOf(instance), events, `events of ${name}`);
      if (fields.length > 0) assert.includeMembers(optionsOf(constructor), fields, `options of ${name}`);
    });

    it(`of ${name} are those of the class`, () => {
      const Class = sommos[name];
      assert.isFunction(Class);
      for (const method of statics) assert.isFunction(Class[method], `${name}.${method}`);
      for (const method of methods) assert.isTrue(method in Class.prototype, `${name}.prototype.${method}`);
    });
  }

  it('have PerformanceMonitoringEngine as the default export', () => {
    assert.equal(sommos.default, sommos.PerformanceMonitoringEngine);
  });

  it('compile in a strict project, and refuse what is wrong', () => {
    const file = path('./types/usage.ts');
    const usage = ts.createProgram([file], {
      ...options,
      exactOptionalPropertyTypes: true,
    });
    const problems = ts.getPreEmitDiagnostics(usage).map((d) => {
      const line = d.file && d.start !== undefined ? d.file.getLineAndCharacterOfPosition(d.start).line + 1 : 0;
      return `${d.file?.fileName ?? ''}:${line} ${ts.flattenDiagnosticMessageText(d.messageText, '\n')}`;
    });
    assert.deepEqual(problems, []);
  }).timeout(60_000);
});

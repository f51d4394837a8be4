// The page's side: bundled with the peers, run by bench.mjs in Chromium.

import './globals.mjs';
import * as tfCore from '@tensorflow/tfjs-core';
import * as tfWasm from '@tensorflow/tfjs-backend-wasm';
import bloomFilters from 'bloom-filters';
import * as fflate from 'fflate';
import { LRUCache } from 'lru-cache';
import * as mlMatrix from 'ml-matrix';
import * as pako from 'pako';
import QuickLRU from 'quick-lru';
import { runAll } from './cases.mjs';

globalThis.runBench = async (options) => {
  const sommos = await import(/* @vite-ignore */ globalThis.packageUrl);
  tfWasm.setWasmPaths('/tfjs/');
  if (crossOriginIsolated) tfWasm.setThreadsCount(2);
  await tfCore.setBackend('wasm');
  await tfCore.ready();
  const { tensor2d, matMul, env } = tfCore;
  const tf = {
    tensor2d,
    matMul,
    threads: tfWasm.getThreadsCount(),
    simd: await env().getAsync('WASM_HAS_SIMD_SUPPORT'),
  };
  const peers = { tf, mlMatrix, LRUCache, QuickLRU, pako, fflate, bloomFilters };
  return runAll({ where: 'chromium', sommos, ...peers, rounds: options.rounds }, { only: options.only, print: globalThis.printLine });
};

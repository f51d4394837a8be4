import { defineConfig } from 'vite';
import { VitePWA } from 'vite-plugin-pwa';

/** What lets a page share memory between threads. */
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

const manifest = {
  id: '/',
  name: 'SommOS wine list',
  short_name: 'Wine list',
  description: 'A wine list over the SommOS performance engine; works offline.',
  lang: 'en',
  start_url: '/',
  scope: '/',
  display: 'standalone',
  background_color: '#faf7f5',
  theme_color: '#7b1e3a',
  categories: ['food', 'utilities'],
  icons: [
    { src: '/icon.svg', sizes: 'any', type: 'image/svg+xml', purpose: 'any' },
    { src: '/icon-maskable.svg', sizes: 'any', type: 'image/svg+xml', purpose: 'maskable' },
  ],
};

export default defineConfig({
  // The policy of index.html allows no data: addresses.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  preview: { host: '127.0.0.1', headers: isolation },
  server: { host: '127.0.0.1', headers: isolation },
  plugins: [
    VitePWA({
      registerType: 'autoUpdate',
      injectRegister: false,
      manifest,
      workbox: {
        globPatterns: ['**/*.{html,js,css,svg,json,bin,wasm,webmanifest}'],
        // Modules that this page never calls: the REST API, text tasks, brotli and zstd.
        globIgnores: ['**/{service,tasks,codecs}-*.wasm'],
        maximumFileSizeToCacheInBytes: 4 << 20,
        cleanupOutdatedCaches: true,
        // The first visit, too, is ready for the next one offline.
        clientsClaim: true,
        skipWaiting: true,
      },
    }),
  ],
});

import { defineConfig } from 'vite'

/** `npm run ui` builds the console into ui/dist, from where the daemon serves it. `npm run ui:dev` shows it while it is worked on. */
export default defineConfig({
  root: import.meta.dirname,
  build: { target: 'es2024', modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  server: { proxy: { '/api': 'http://localhost:7070', '/login': 'http://localhost:7070' } },
})

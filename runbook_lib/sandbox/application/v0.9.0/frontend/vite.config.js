import { defineConfig } from "vitest/config";

// Nothing is inlined and nothing is injected: the page runs under "default-src 'self'".
export default defineConfig({
  build: { assetsInlineLimit: 0, modulePreload: false },
  server: { proxy: { "/api": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
  test: { environment: "happy-dom", include: ["tests/**/*.test.js"] },
});

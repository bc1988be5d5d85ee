import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { defineConfig } from "vite";
import { svelte } from "@sveltejs/vite-plugin-svelte";

const here = import.meta.dirname;
const out = resolve(here, "../matinee/serve/web");

function digests(folder, skip) {
  const found = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path).split(sep).join("/");
    if (skip(name)) continue;
    found[name] = createHash("sha256").update(readFileSync(path)).digest("hex");
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// built.json says which source made which files; tests/walks/test_page_built.py compares both without Node.
function record() {
  return {
    name: "matinee-record",
    apply: "build",
    closeBundle() {
      const sources = digests(here, (name) => name.startsWith("node_modules/"));
      const built = digests(out, (name) => name === "built.json");
      writeFileSync(join(out, "built.json"), JSON.stringify({ sources, built }, null, 1) + "\n");
    },
  };
}

export default defineConfig({
  plugins: [svelte(), record()],
  base: "/",
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the page's policy allows no data: scripts, and pictures are few
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": process.env.MATINEE_API ?? "http://127.0.0.1:8420" } },
});

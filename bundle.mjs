/**
 * Makes one file, dist/cli/vfio.cjs, of what `vfio list` and the parsing of every command need: to find and load the files of
 * packages one by one takes longer than all of that does. What the other commands do stays where it is and is loaded when it is
 * wanted.
 */
import { chmodSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { build } from 'esbuild';

const folder = 'dist/cli';
const outfile = `${folder}/vfio.cjs`;
/** Of what is loaded on demand, what is there at once. */
const atOnce = /\/list(\/list)?\.js$/;
const onDemand = {
  name: 'on demand',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      if (kind !== 'dynamic-import' || atOnce.test(path)) return undefined;
      const place = relative(folder, resolve(resolveDir, path));
      return { path: place.startsWith('.') ? place : `./${place}`, external: true };
    });
  },
};
/** What would only take a while to load, and what there is in its place. */
const leftOut = {
  // Commander starts sub-commands with it that are programs of their own: `vfio` has no such commands.
  'node:child_process': '',
  // Hints are about ioctls and nodes of devices. A list makes none and opens none; the other commands have a copy of their own.
  './hints.js': 'export const hint = () => ({ text: undefined, checks: [] });',
};
const leave = {
  name: 'left out',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:child_process|\.\/hints\.js)$/ }, ({ path }) => ({ path, namespace: 'left out' }));
    onLoad({ filter: /.*/, namespace: 'left out' }, ({ path }) => ({ contents: leftOut[path] }));
  },
};

await build({
  entryPoints: ['dist/cli/main.js'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  minify: true,
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: "const moduleUrl=require('node:url').pathToFileURL(__filename).href;" },
  plugins: [leave, onDemand],
  logLevel: 'warning',
});
chmodSync(outfile, 0o755);

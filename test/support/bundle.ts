/**
 * What runs in the lab's guests, each program in one file of JavaScript: to a processor that is emulated, finding, reading and
 * transforming hundreds of files of TypeScript is more work than what most of them do.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { root } from './root.js';

const folder = 'test/.bundles';
/** As deep in the checkout as what they are made of: what looks for other files finds them. */
const absolute = join(root, folder);

const suites = {
  conformance: 'conformance/conformance-all.ts',
  limited: 'conformance/limited.test.ts',
  'no-iommu': 'conformance/no-iommu.test.ts',
  'unsafe-interrupts': 'conformance/unsafe-interrupts.test.ts',
  hardware: 'hardware/all.ts',
  bind: 'command-lab/bind.ts',
  doctor: 'command-lab/doctor.ts',
  registers: 'command-lab/registers.ts',
  lspci: 'lspci/all.ts',
  security: 'security/all.ts',
};
export type Suite = keyof typeof suites;
const programs = { edu: 'examples/edu.ts', migration: 'examples/migration.ts', differential: 'test/differential/main.ts' };
/** What the hardware suite's threads run, and the security suite's processes. */
const parts = { 'queue-worker': 'examples/e1000e/tools/queue-worker.ts', 'security-child': 'test/security/child.ts' };
/** Runs after each test. */
const setup = { leaks: 'test/support/leaks.ts' };

const options = {
  absWorkingDir: root,
  outdir: folder,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Beside packages that cannot be a part of a module, what only a host loads: the suites' simulated machines, and this.
  external: ['vitest', 'commander', 'koffi', 'cli-progress', './simulated.js', '../support/bundle.js'],
  logLevel: 'warning',
} satisfies BuildOptions;

/** Makes them anew. */
export async function bundle(): Promise<void> {
  mkdirSync(absolute, { recursive: true });
  await build({
    ...options,
    entryPoints: {
      ...Object.fromEntries(Object.entries(suites).map(([suite, file]) => [`${suite}.test`, `test/${file}`])),
      ...programs,
      ...parts,
      ...setup,
    },
    keepNames: true,
  });
  // A test file goes through vitest's transformation, what it imports does not.
  for (const suite of Object.keys(suites)) writeFileSync(join(absolute, `${suite}.mjs`), `import './${suite}.test.mjs';\n`);
}

/** Makes programs that are measured, and tells how a guest runs each: without the names, which cost at each closure. */
export async function bundleMeasured<Name extends string>(files: Readonly<Record<Name, string>>): Promise<Record<Name, string>> {
  await build({ ...options, entryPoints: files });
  const names = Object.keys(files) as Name[];
  return Object.fromEntries(names.map((name) => [name, `node ${folder}/${name}.mjs`])) as Record<Name, string>;
}

/** How a guest runs one of the programs, from the checkout. */
export function bundledProgram(name: keyof typeof programs): string {
  return `node ${folder}/${name}.mjs`;
}

/** How a guest runs a suite with vitest. */
export function bundledSuite(name: Suite): string {
  return `node_modules/.bin/vitest run ${folder}/${name}.mjs --configLoader=native --config=test/guest.config.mjs`;
}

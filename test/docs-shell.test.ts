/**
 * Every command in a `sh` block of README and docs, typed as it stands, page by page. `vfio` works on a simulated machine, has its
 * options for the lab taken or refused without a guest, and `npm run` finds the script. What installs, needs root or is another's
 * program is only spelled right: the shell has to understand it.
 */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { atOnce } from './support/at-once.js';
import { fencedBlocks, fileOfBlock } from './support/fenced.js';
import { root } from './support/root.js';

/** Inside the package, so that a program's `vfio` is this one. */
const world = join(root, 'dist/docs-shell');
const programs = join(world, 'bin');
const markdown = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
interface Page {
  readonly page: string;
  readonly text: string;
  readonly blocks: readonly string[];
}
const pages: Page[] = ['README.md', 'CONTRIBUTING.md', ...markdown.map((name) => `docs/${name}`)]
  .map((page) => ({ page, text: readFileSync(join(root, page), 'utf8') }))
  .map(({ page, text }) => ({ page, text, blocks: fencedBlocks(text, 'sh') }))
  .filter(({ blocks }) => blocks.length > 0);

/** What does not end with 0 here, and why. */
const refused: readonly { readonly command: string; readonly status: number }[] = [
  // The bus of the simulated card has others on it, of which VFIO has not all.
  { command: 'npx vfio reset 01:00.0 --bus', status: 3 },
  // The simulated card has no ROM.
  { command: 'npx vfio dump 01:00.0 rom --out card.rom', status: 1 },
  // No guest has written the second.
  { command: 'diff simulated.txt real.txt', status: 1 },
];

const machine = {
  files: { '/etc/passwd': 'ada:x:1000:1000::/home/ada:/bin/sh\n' },
  devices: [
    { model: 'edu', address: '0000:00:03.0' },
    { model: 'e1000e', address: '0000:01:00.0', hostDriver: 'e1000e' },
    { model: 'nvme', address: '0000:03:00.0' },
  ],
};

/** A driver for whatever kernel there is. */
const driver = `import { findDevices, native, openDevice } from 'vfio';
const kernel = native();
for (const { address } of findDevices(kernel, { vendor: 0x1234, device: 0x11e8 })) {
  const opened = openDevice(kernel, address);
  console.log(opened.device.region(0).mmio.read32(0).toString(16));
  opened.close();
}
`;

const command = join(root, 'dist/cli/vfio.cjs');
/** What the pages call, in place of what a reader has. */
const shims: Readonly<Record<string, string>> = {
  // The lab without QEMU in its path: what it then says comes after all that can be wrong with its options.
  vfio: `case "$* " in
    "lab "*) PATH=${programs} ${process.execPath} ${command} "$@" > lab.txt 2>&1; status=$?; cat lab.txt
      [ $status = 0 ] || grep -q 'packages are missing' lab.txt; exit ;;
    "irq "*"--kind"*) timeout --signal INT 2 ${process.execPath} ${command} --sim ${world}/machine.json "$@"
      status=$?; [ $status = 124 ] || exit $status; exit 0 ;;
    *" --persistent"*) exec ${process.execPath} ${command} --sim ${world}/machine.json "$@" --root "$HOME" ;;
    *" --sim "*|"replay "*) exec ${process.execPath} ${command} "$@" ;;
    *) exec ${process.execPath} ${command} --sim ${world}/machine.json "$@" ;;
  esac`,
  npx: `program=$1; shift
  case $program in
    vfio) exec vfio "$@" ;;
    tsx) [ -e "$1" ] || cd ${root}; [ -e "$1" ] || exit 1
      case $1 in bench/*) exit 0 ;; esac
      exec ${process.execPath} ${join(root, 'node_modules/tsx/dist/cli.mjs')} "$@" ;;
    *) exit 127 ;;
  esac`,
  npm: `case $1 in
    install) [ ! -e package.json ] || { mkdir -p node_modules && ln -s ${root} node_modules/vfio; }; exit ;;
    ci|rebuild|install-scripts|pack) exit 0 ;;
    init|pkg) exec "$NPM" "$@" ;;
    test) set -- run test ;;
  esac
  [ "$1" = run ] || exit 1
  shift; [ "$1" != --silent ] || shift
  script=$1; shift
  # A reader's own project, where there is one; else the checkout.
  if [ -e package.json ]; then exec "$NPM" run --silent "$script" "$@"; fi
  [ "$(${process.execPath} -p 'process.argv[1] in require("${root}/package.json").scripts' "$script")" = true ] || exit 1
  [ "$script" != lab ] || { [ "$1" != -- ] || shift; exec vfio lab "$@"; }`,
  sudo: `[ "$1" != npx ] || exec "$@"`,
  node: `exec ${process.execPath} "$@"`,
  ...Object.fromEntries(['apt-get', 'jq', 'man', 'ls', 'git'].map((name) => [name, 'exit 0'])),
};

/** The files of a page's program, as they are at its end. */
function filesOf(text: string): Map<string, string> {
  const files = new Map([
    ['driver.mjs', driver],
    ['driver.ts', driver],
    ['machine.json', JSON.stringify(machine)],
  ]);
  for (const code of fencedBlocks(text, 'ts')) {
    const part = fileOfBlock(code);
    if (part !== undefined) files.set(part.file, (part.continued ? files.get(part.file) : '') + code);
  }
  return files;
}

/** The blocks one after the other in one shell; whatever fails is said, with its status, and the rest goes on. */
function script(folder: string, blocks: readonly string[]): string {
  const typed = blocks.map((block) => block.replaceAll(/> (\/sys\/\S+)/g, '> setting.txt'));
  return [
    `trap 'echo "$?: $BASH_COMMAND" >> ${folder}/failed.txt' ERR`,
    ...typed.map((block) => `cp -n ${folder}/files/* .\n${block}`),
  ].join('\n');
}

/** What a page's commands print, and those of them that fail, behind their status. */
async function typed({ page, text, blocks }: Page): Promise<{ said: string; failed: string[] }> {
  const folder = join(world, page.replaceAll(/\W/g, '-'));
  for (const each of ['files', 'home/.zfunc', 'home/.config/fish/completions']) mkdirSync(join(folder, each), { recursive: true });
  for (const [name, content] of filesOf(text)) writeFileSync(join(folder, 'files', name), content);
  writeFileSync(join(folder, 'failed.txt'), '');
  const env = {
    PATH: [programs, process.env['PATH']].join(delimiter),
    HOME: join(folder, 'home'),
    USER: 'ada',
    npm_config_update_notifier: 'false',
    NPM: execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim(),
  };
  const said = await new Promise<string>((resolve) => {
    execFile('bash', ['-c', script(folder, blocks)], { cwd: join(folder, 'home'), env }, (_error, stdout, stderr) => {
      resolve(stdout + stderr);
    });
  });
  return { said, failed: readFileSync(join(folder, 'failed.txt'), 'utf8').split('\n').filter(Boolean) };
}

describe('the commands of', () => {
  const results = new Map<Page, Awaited<ReturnType<typeof typed>>>();
  beforeAll(async () => {
    mkdirSync(programs, { recursive: true });
    writeFileSync(join(world, 'machine.json'), JSON.stringify(machine));
    for (const [name, text] of Object.entries(shims)) {
      writeFileSync(join(programs, name), `#!/bin/bash\n${text}\n`);
      chmodSync(join(programs, name), 0o755);
    }
    await atOnce(2, pages, async (page) => void results.set(page, await typed(page)));
  }, 180_000);
  afterAll(() => rmSync(world, { recursive: true, force: true }));

  it.each(pages.map((page) => [page.page, page] as const))('%s', (_name, page) => {
    const { said, failed } = results.get(page)!;
    const meant = refused.map(({ command, status }) => `${status}: ${command}`);
    expect(
      failed.filter((each) => !meant.includes(each)),
      said,
    ).toEqual([]);
    expect(said).not.toMatch(/command not found|syntax error/);
  });
});

/** `vfio complete`, and the scripts that ask it in real shells, where those are installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { root } from '../support/root.js';
import { vfio } from './support.js';

const machine: MachineDescription = {
  devices: [{ model: 'edu' }, { model: 'nvme', driver: 'nvme', hostDriver: 'nvme', address: '0000:01:00.0' }],
};

const completions = async (...words: string[]): Promise<string[]> => {
  const { status, out, err } = await vfio(['complete', '--', ...words], { machine });
  expect([status, err]).toEqual([0, '']);
  return out.split('\n').filter((line) => line !== '');
};
const values = async (...words: string[]): Promise<string[]> => (await completions(...words)).map((line) => line.split('\t')[0] ?? '');

describe('vfio complete', () => {
  it('knows commands with what they do, and not itself', async () => {
    expect(await completions('rese')).toEqual(['reset\treset a device, or its bus']);
    expect(await values('')).toEqual(expect.arrayContaining(['list', 'read', 'lab', 'completion', 'help']));
    expect(await values('comp')).toEqual(['completion']);
    expect(await values('bogus', '')).toEqual([]);
  });

  it('knows options of a command and of all', async () => {
    expect(await values('--')).toEqual(['--version', '--json', '--sim', '--help']);
    expect(await values('irq', '--lo')).toEqual(['--loopback']);
    expect(await values('irq', '--json', '00:03.0', '--co')).toEqual(['--count']);
  });

  it('knows devices with their drivers, in both forms of an address', async () => {
    expect(await completions('read', '')).toEqual(['0000:00:03.0\t1234:11e8, vfio-pci', '0000:01:00.0\t1b36:0010, nvme']);
    expect(await values('read', '0000:01')).toEqual(['0000:01:00.0']);
    expect(await completions('read', '01')).toEqual(['01:00.0\t1b36:0010, nvme']);
    expect(await values('--json', 'read', '7')).toEqual([]);
  });

  it('looks at the machine that is asked for', async () => {
    const { status, err } = await vfio(['complete', '--', '--sim', '/nowhere.json', 'read', '']);
    expect([status, err]).toEqual([2, expect.stringContaining('--sim /nowhere.json')]);
  });

  it('knows regions', async () => {
    expect(await values('read', '01:00.0', 'b')).toEqual(['bar0', 'bar1', 'bar2', 'bar3', 'bar4', 'bar5']);
    expect(await values('read', '01:00.0', 'bar0', '')).toEqual([]);
    expect(await values('read', '01:00.0', '--width', '64', 'c')).toEqual(['config']);
  });

  it('knows values of options, behind them and behind a sign', async () => {
    expect(await values('irq', '--kind', 'm')).toEqual(['msi', 'msix']);
    expect(await values('irq', '--kind=m')).toEqual(['--kind=msi', '--kind=msix']);
    expect(await values('irq', '--bogus=')).toEqual([]);
    expect(await values('irq', '01:00.0', '--write', 'b')).toEqual(['bar0', 'bar1', 'bar2', 'bar3', 'bar4', 'bar5']);
    expect(await values('irq', '01:00.0', '--write', 'bar0', '')).toEqual([]);
    expect(await values('irq', '01:00.0', '--write', 'bar0', '0', '1', '--kin')).toEqual(['--kind']);
    expect(await values('read', '01:00.0', 'bar0', '0', '--watch', '--f')).toEqual(['--for']);
    expect(await values('dump', '--out', '')).toEqual([]);
    expect(await values('lab', '--', '--')).toEqual([]);
    expect(await completions('doctor', '--check', 'hugep')).toEqual([expect.stringMatching(/^hugepages\t\w/)]);
    expect(await values('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  it('tells programs in JSON', async () => {
    expect((await vfio(['complete', '--json', '--', 'lis'])).json).toEqual([
      { value: 'list', description: 'list PCI devices by IOMMU group' },
    ]);
  });
});

it('vfio completion knows its shells', async () => {
  expect(await vfio(['completion', 'csh'])).toMatchObject({
    status: 2,
    err: expect.stringContaining('Allowed choices are bash, zsh, fish') as string,
  });
  expect((await vfio(['completion', 'bash', '--json'])).json).toMatchObject({ shell: 'bash' });
});

describe('in shells', { timeout: 60_000 }, () => {
  let folder: string;
  let environment: NodeJS.ProcessEnv;
  const isThere = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vfio-completion-'));
    writeFileSync(join(folder, 'machine.json'), JSON.stringify(machine));
    const program = join(folder, 'vfio');
    writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${root}/dist/cli/main.js --sim ${folder}/machine.json "$@"\n`);
    chmodSync(program, 0o755);
    for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(join(folder, shell), (await vfio(['completion', shell])).out);
    environment = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}`, HOME: folder, TERM: 'dumb' };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const ask = (shell: string, script: string): string[] =>
    execFileSync(shell, ['-c', script], { cwd: root, env: environment, encoding: 'utf8' }).split('\n').filter(Boolean);
  const bash = (line: string, breaks = ' \t\n"\'><=;|&(:'): string[] =>
    ask(
      'bash',
      `source ${folder}/bash; COMP_WORDBREAKS=$'${breaks.replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\t', '\\t')}'
       COMP_LINE='${line}' COMP_POINT=${line.length}; _vfio vfio; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );

  it('bash', () => {
    expect(bash('vfio rea')).toEqual(['read']);
    expect(bash('vfio irq 01:00.0 --kind ')).toEqual(['intx', 'msi', 'msix', 'err', 'req']);
  });

  it('bash, which ends words at colons and signs', () => {
    expect(bash('vfio read 0000:0')).toEqual(['00:03.0', '01:00.0']);
    expect(bash('vfio read 0000:0', ' ')).toEqual(['0000:00:03.0', '0000:01:00.0']);
    expect(bash('vfio irq --kind=m')).toEqual(['msi', 'msix']);
  });

  it('bash runs nothing that is on the line', () => {
    expect(bash(`vfio read $(touch ${folder}/ran)`)).toEqual([]);
    expect(ask('sh', `ls ${folder}`)).not.toContain('ran');
  });

  it('bash has it for the command', () => {
    expect(ask('bash', `source ${folder}/bash; complete -p vfio`)).toEqual(['complete -o bashdefault -o default -F _vfio vfio']);
  });

  it.skipIf(!isThere('zsh'))('zsh', () => {
    const script = `compdef() { print -r -- "for $2" }; compadd() { print -rl -- \${(P)\${@[-1]}} }; _files() { print files }
      source ${folder}/zsh; words=(vfio read 0000:0); CURRENT=3; _vfio; words=(vfio dump --out ''); CURRENT=4; _vfio`;
    expect(ask('zsh', script)).toEqual(['for vfio', '0000:00:03.0', '0000:01:00.0', 'files']);
  });

  it.skipIf(!isThere('fish'))('fish', () => {
    const script = `source ${folder}/fish; complete -C 'vfio read 0000:0'`;
    expect(ask('fish', script)).toEqual(['0000:00:03.0\t1234:11e8, vfio-pci', '0000:01:00.0\t1b36:0010, nvme']);
  });
});

/** What is common to all commands: help, misuse, the machine they work on. */
import { describe, expect, it } from 'vitest';
import { makeProgram } from '../../lib/cli/program.js';
import { vfio } from './support.js';

describe('vfio', () => {
  it('says what there is, and ends with 0', async () => {
    const { status, out, err } = await vfio(['--help']);
    expect([status, err]).toEqual([0, '']);
    expect(out).toContain('list PCI devices by IOMMU group');
  });

  it.each([[['--version'], '0.0.0\n']])('%s', async (args, words) => {
    expect(await vfio(args)).toMatchObject({ status: 0, out: words });
  });

  it.each([
    [['bogus'], "unknown command 'bogus'"],
    [['list', '--bogus'], "unknown option '--bogus'"],
    [['list', '--sim', '/nowhere.json'], '--sim /nowhere.json: ENOENT'],
    [['--sim', '/nowhere.json', 'list'], '--sim /nowhere.json: ENOENT'],
  ])('%s is misuse', async (args, words) => {
    const { status, out, err } = await vfio(args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it.each(makeProgram('').commands.map((command) => command.name()))('%s is found by its name, with a help of its own', async (name) => {
    const { status, out } = await vfio([name, '--help']);
    expect(status).toBe(0);
    expect(out).toMatch(new RegExp(`^Usage: vfio ${name} `));
  });

  it.each([
    [['lst'], 'Did you mean list?'],
    [['constructor'], "unknown command 'constructor'"],
  ])('%s is no command', async (args, words) => {
    expect((await vfio(args)).err).toContain(words);
  });

  it('takes its common options before the command and after it', async () => {
    const machine = { devices: [{ model: 'edu' as const }] };
    expect((await vfio(['--json', 'list'], { machine })).json).toEqual((await vfio(['list', '--json'], { machine })).json);
  });

  it('says errors for programs as JSON', async () => {
    const { err } = await vfio(['list', '--json', '--sim', '/nowhere.json']);
    expect(JSON.parse(err)).toEqual({ error: { message: expect.stringContaining('ENOENT') as string } });
    const misused = await vfio(['list', '--json', '--bogus']);
    expect([misused.status, JSON.parse(misused.err)]).toEqual([2, { error: { message: "unknown option '--bogus'" } }]);
  });
});

/** `vfio irq`, on a simulated machine. */
import { describe, expect, it } from 'vitest';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const machine: MachineDescription = { devices: [{ model: 'edu' }, { model: 'e1000e', address: '0000:01:00.0' }] };
const edu = '00:03.0';
const card = '01:00.0';
const lines = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('vfio irq', () => {
  it('prints the interrupt that a written register caused, and the sum', async () => {
    const { status, out, err } = await vfio(['irq', edu, '--write', 'bar0', '0x60', '1', '--count', '1'], { machine });
    expect([status, err]).toEqual([0, 'vfio: msi of 0000:00:03.0, vector 0; waiting\n']);
    expect(out).toMatch(/^ +\d\.\d{6} s {2}vector 0\nvector 0 {2}1 interrupt\n$/);
  });

  it('unmasks a line after each, so that a device that is not served goes on', async () => {
    const { status, out } = await vfio(['irq', edu, '--kind', 'intx', '--write', 'bar0', '0x60', '1', '--count', '3'], { machine });
    expect(status).toBe(0);
    expect(out).toMatch(/^(.*vector 0.*\n){3}vector 0 {2}3 interrupts {2}\d+ per second\n$/);
    expect(out.split('\n')[1]).toMatch(/ {2}\+0\.\d{6} s$/);
  });

  it('gives programs a line for each, and one with the sums', async () => {
    const { out } = await vfio(['irq', edu, '--write', 'bar0', '0x60', '1', '--count', '1', '--json'], { machine });
    expect(lines(out)).toEqual([
      { vector: 0, count: 1, seconds: expect.any(Number) as number },
      { address: '0000:00:03.0', kind: 'msi', vectors: [{ vector: 0, count: 1 }] },
    ]);
  });

  it('ends in time, and fails if what was to be counted did not come', async () => {
    expect(await vfio(['irq', edu, '--for', '0.02'], { machine })).toMatchObject({ status: 0, out: 'vector 0  0 interrupts\n' });
    expect(await vfio(['irq', edu, '--for', '0.02', '--count', '1'], { machine })).toMatchObject({ status: 1 });
  });

  it('ends at Ctrl-C, with the sums', async () => {
    const interruption = new AbortController();
    const waiting = vfio(['irq', edu], { machine, signal: interruption.signal });
    setTimeout(() => interruption.abort(), 300);
    expect(await waiting).toMatchObject({
      status: 0,
      out: 'vector 0  0 interrupts\n',
      err: expect.stringContaining('until Ctrl-C') as string,
    });
    expect(await vfio(['irq', edu], { machine, signal: AbortSignal.abort() })).toMatchObject({ out: 'vector 0  0 interrupts\n' });
  });

  it('has the kernel signal each vector', async () => {
    const { status, out } = await vfio(['irq', card, '--loopback', '--vector', '0', '2'], { machine });
    expect(status).toBe(0);
    expect(out).toMatch(/^vector 0 {2}came {2}after \d+ us\nvector 2 {2}came {2}after \d+ us\n$/);
    const { json } = await vfio(['irq', card, '--loopback', '--kind', 'msi', '--json'], { machine });
    expect(json).toEqual({
      address: '0000:01:00.0',
      kind: 'msi',
      vectors: [{ vector: 0, came: true, microseconds: expect.any(Number) as number }],
    });
    expect((await vfio(['irq', card, '--loopback', '--json'], { machine })).json).toMatchObject({ kind: 'msix' });
    expect((await vfio(['irq', card, '--loopback', '--kind', 'req', '--json'], { machine })).json).toMatchObject({ kind: 'req' });
  });

  it('fails when a vector does not come', async () => {
    expect(await vfio(['irq', card, '--loopback'], { machine, signal: AbortSignal.abort() })).toMatchObject({ status: 1 });
  });

  it.each([
    [['irq', edu, '--vector', '1'], 'Expected a vector below 1, as 0000:00:03.0 has of msi, for --vector but received 1'],
    [['irq', edu, '--vector', 'x'], "Expected a number like 4096 or 0x1000 but received 'x'"],
    [['irq', edu, '--write', 'bar0', '0x60'], 'Expected REGION OFFSET VALUE for --write but received 2 words'],
    [['irq', edu, '--write', 'bar0', '0x61', '1'], 'Expected a multiple of 4'],
    [['irq', edu, '--write', 'bar0', '0x60', '0x100000000'], 'Expected VALUE to fit into 32 bits'],
    [['irq', edu, '--count', '0'], 'Expected at least 1 for --count'],
    [['irq', edu, '--loopback', '--count', '1'], 'goes with neither --count nor --for nor --write'],
    [['irq', edu, '--kind', 'nmi'], 'Allowed choices are intx, msi, msix, err, req'],
  ])('%s is misuse', async (args, words) => {
    const { status, out, err } = await vfio(args, { machine });
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it.each([
    [['irq', edu, '--kind', 'msix'], '0000:00:03.0 has no msix'],
    [['irq', edu, '--write', 'bar0', '0x200000', '1'], 'offset'],
    [['irq', '00:1f.0'], 'ENOENT'],
  ])('%s fails', async (args, words) => {
    const { status, err } = await vfio(args, { machine });
    expect(status).toBe(1);
    expect(err).toContain(words);
  });
});

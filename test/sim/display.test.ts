/** A display of one's own: which accesses of its old addresses arrive. */
import { afterEach, expect, it } from 'vitest';
import { Machine, PciFunction, type KernelVersion } from '../../lib/sim/index.js';
import { Seam } from '../support/seam.js';

const vga = 8 * 2 ** 40;

class Display extends PciFunction {
  readonly accesses: string[] = [];
  constructor(classCode = 0x030000) {
    super({ vendor: 0x1af4, device: 0x10f0, classCode, bars: { 0: 4096 } });
  }
  protected override readVga(address: number, width: number): bigint {
    this.accesses.push(`read ${address.toString(16)} ${width}`);
    return 0x8877_6655_4433_2211n;
  }
  protected override writeVga(address: number, width: number, value: bigint): void {
    this.accesses.push(`write ${address.toString(16)} ${width} ${value.toString(16)}`);
  }
}

let seam: Seam;
afterEach(() => seam.closeAll());

function open(
  model: PciFunction,
  kernel: KernelVersion = '7.3',
): { read: (at: number, length: number) => string; write: (bytes: Uint8Array, at: number) => number } {
  const machine = new Machine({ kernel, devices: [{ model, group: 1 }] });
  seam = new Seam(machine.kernel);
  const { device } = seam.ready({ address: '0000:00:03.0', group: 1 });
  return {
    read: (at, length) => {
      const bytes = new Uint8Array(length);
      const result = machine.kernel.pread(device, bytes, vga + at);
      return `${result} ${Buffer.from(bytes).toString('hex')}`;
    },
    write: (bytes: Uint8Array, at: number) => machine.kernel.pwrite(device, bytes, vga + at),
  };
}

it.each([
  ['6.1', ['read a0000 4', 'read a0004 4', 'read a0008 1']],
  ['6.12', ['read a0000 8', 'read a0008 1']],
  ['7.3', ['read a0000 4', 'read a0004 4', 'read a0008 1']],
] as const)('on Linux %s memory is read in the widest accesses that it makes', (version, accesses) => {
  const model = new Display();
  open(model, version).read(0xa_0000, 9);
  expect(model.accesses).toEqual(accesses);
});

it('ports are accessed by 4 bytes at most, at multiples of the width', () => {
  const model = new Display();
  const { read, write } = open(model, '6.12');
  expect(read(0x3c1, 8)).toBe('8 1111221122334411');
  expect(write(Uint8Array.of(1, 2, 3), 0x3c9)).toBe(3);
  expect(model.accesses).toEqual(['read 3c1 1', 'read 3c2 2', 'read 3c4 4', 'read 3c8 1', 'write 3c9 1 1', 'write 3ca 2 302']);
});

it('a model that knows nothing of them answers ones, and so does one that is silent; neither takes anything', () => {
  const plain = new (class extends PciFunction {})({ vendor: 1, device: 1, classCode: 0x030000, bars: { 0: 4096 } });
  const { read, write } = open(plain);
  expect([read(0xb_8000, 2), write(Uint8Array.of(1), 0xb_8000)]).toEqual(['2 ffff', 1]);
  const model = new Display();
  const display = open(model);
  model.faults.silent = true;
  expect([display.read(0xb_8000, 2), display.write(Uint8Array.of(1), 0xb_8000), model.accesses]).toEqual(['2 ffff', 1, []]);
});

it('what is no VGA has none', () => {
  const model = new Display(0x038000);
  const { read, write } = open(model);
  expect([read(0xa_0000, 1), write(Uint8Array.of(1), 0xa_0000), model.accesses]).toEqual(['-22 00', -22, []]);
});

/** The non-volatile memory of the network card's example. */
import { afterEach, expect, it } from 'vitest';
import { layout } from '../../examples/e1000e/layout.js';
import { readNvm, stationOf } from '../../examples/e1000e/nvm.js';
import { openDevice, type OpenDevice } from 'vfio';
import { deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import { E1000e, Machine } from 'vfio/sim';

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

const writeWord = 0x102c;

function open(): { readonly registers: DeviceRegisters<typeof layout>; readonly write: (word: number, value: number) => void } {
  const { kernel } = new Machine({ devices: [{ model: new E1000e({ station: '52:54:00:12:34:56' }) }] });
  const opened = openDevice(kernel, '0000:00:03.0');
  closing.push(opened);
  const { mmio } = opened.device.region(0);
  const registers = deviceRegisters(layout, mmio);
  return { registers, write: (word, value) => mmio.write32(writeWord, ((value << 16) | (word << 2) | 1) >>> 0) };
}

it('a word of the memory is read', async () => {
  const { registers } = open();
  expect([await readNvm(registers, 0), await readNvm(registers, 13)]).toEqual([0x5452, 0x10d3]);
});

it('the station is what the card took at reset, whatever the memory has', async () => {
  const { registers, write } = open();
  write(0, 0x1234);
  expect(await stationOf(registers)).toBe('52:54:00:12:34:56');
});

it('the station is read from the memory where the card has none, and the card is told', async () => {
  const { registers } = open();
  registers.RAL.write(0);
  registers.RAH.write(0);
  expect(await stationOf(registers)).toBe('52:54:00:12:34:56');
  expect([registers.RAL.read(), registers.RAH.read()]).toEqual([0x1200_5452, 0x8000_5634]);
});

it.each([
  ['has a wrong sum', [[5, 0]], 'adds up to 0x9aaa, not to 0xbaba'],
  [
    'has the address of a group',
    [
      [0, 0x5453],
      [5, 0x200f],
    ],
    'no address of a station',
  ],
  [
    'has an address of zeroes',
    [
      [0, 0],
      [1, 0],
      [2, 0],
      [5, (0x2010 + 0x5452 + 0x1200 + 0x5634) & 0xffff],
    ],
    'no address of a station',
  ],
] as const)('a memory that %s is refused', async (_what, words, message) => {
  const { registers, write } = open();
  registers.RAH.write(0);
  for (const [word, value] of words) write(word, value);
  await expect(stationOf(registers)).rejects.toThrow(message);
  expect(registers.RAH.read()).toBe(0);
});

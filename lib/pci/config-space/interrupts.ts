import { bits, capability, computed, either, flag, reg16, reg32, reg64, scaled, when, type Part, type View } from './declaration.js';

const has64 = (view: View, at: number): boolean => (view.u16(at + 2) & 0x80) !== 0;
const isMaskable = (view: View, at: number): boolean => (view.u16(at + 2) & 0x100) !== 0;
const messages = (from: number) => scaled(from, 3, (value) => 1 << value);

export const msi = capability(0x05, 'MSI', {
  control: reg16(0x02, {
    enable: flag(0),
    /** Messages that the device can send. */
    multipleMessageCapable: messages(1),
    /** Messages that it is allowed to. */
    multipleMessageEnable: messages(4),
    address64Bit: flag(7),
    perVectorMasking: flag(8),
  }),
  address: either(
    has64,
    reg64(0x04),
    computed((view, at) => BigInt(view.u32(at + 4))),
  ),
  data: either(has64, reg16(0x0c), reg16(0x08)),
  mask: when(isMaskable, either(has64, reg32(0x10), reg32(0x0c))),
  pending: when(isMaskable, either(has64, reg32(0x14), reg32(0x10))),
});

/** Where a table is: the BAR, and bytes in it. */
function place(offset: number): Part<{ readonly bar: number; readonly offset: number }> {
  return computed((view, at) => {
    const value = view.u32(at + offset);
    return { bar: value & 7, offset: (value & ~7) >>> 0 };
  });
}

export const msix = capability(0x11, 'MSI-X', {
  control: reg16(0x02, { tableSize: scaled(0, 11, (value) => value + 1), functionMask: flag(14), enable: flag(15) }),
  table: place(4),
  pendingBits: place(8),
});

export const debugPort = capability(0x0a, 'Debug Port', { port: reg16(0x02, { offset: bits(0, 13), bar: bits(13, 3) }) });

import { bits, capability, computed, flag, named, reg16, reg32, reg8, when, type View } from './declaration.js';

/** Virtio's: of the makers of QEMU, in devices of the ids that virtio has, current and transitional. */
const isVirtio = ({ facts }: View): boolean => facts.vendor === 0x1af4 && facts.device >= 0x1000 && facts.device <= 0x107f;
const virtioType = (view: View, at: number): number => view.u8(at + 3);
const notify = 2;

export const vendorSpecific = capability(0x09, 'Vendor Specific Information', {
  length: reg8(0x02),
  virtio: when(
    isVirtio,
    computed((view, at) => ({
      type: ['', 'CommonCfg', 'Notify', 'ISR', 'DeviceCfg'][virtioType(view, at)] || 'unknown',
      bar: view.u8(at + 4),
      offset: view.u32(at + 8),
      size: view.u32(at + 12),
      /** Bytes from the place of one queue to the next's. */
      ...(virtioType(view, at) === notify && { multiplier: view.u32(at + 16) }),
    })),
  ),
});

export const vendorSpecificExtended = capability(0x0b, 'Vendor Specific Information', {
  header: reg32(0x04, { id: bits(0, 16), revision: bits(16, 4), length: bits(20, 12) }),
});

export const designatedVendorSpecific = capability(0x23, 'Designated Vendor-Specific', {
  header1: reg32(0x04, { vendor: bits(0, 16), revision: bits(16, 4), length: bits(20, 12) }),
  id: reg16(0x08),
});

export const vitalProductData = capability(0x03, 'Vital Product Data', {
  address: computed((view, at) => view.u16(at + 2) & 0x7fff),
  transferred: computed((view, at) => view.u16(at + 2) >= 0x8000),
  data: reg32(0x04),
});

export const subsystem = capability(0x0d, 'Subsystem', { vendor: reg16(0x04), device: reg16(0x06) });

export const slotId = capability(0x04, 'Slot ID', {
  slots: reg8(0x02, { count: bits(0, 5), first: flag(5) }),
  chassis: reg8(0x03),
});

export const advancedFeatures = capability(0x13, 'PCI Advanced Features', {
  capabilities: reg8(0x03, { transactionsPending: flag(0), functionLevelReset: flag(1) }),
  control: reg8(0x04, { functionLevelReset: flag(0) }),
  status: reg8(0x05, { transactionsPending: flag(0) }),
});

const inBar = (view: View, at: number): boolean => (view.u32(at + 4) & 0xf) >= 4 && (view.u32(at + 4) & 0xf) <= 9;

export const sata = capability(0x12, 'SATA HBA', {
  revision: reg16(0x02, { minor: bits(0, 4), major: bits(4, 4) }),
  location: reg32(0x04, {
    place: named(
      0,
      4,
      Array.from({ length: 16 }, (_, index) =>
        index === 15 ? 'InCfgSpace' : index >= 4 && index <= 9 ? `BAR${index - 4}` : `BAR??${index}`,
      ),
    ),
  }),
  /** Bytes in the BAR. */
  offset: when(
    inBar,
    computed((view, at) => ((view.u32(at + 4) >>> 4) & 0xf_ffff) * 4),
  ),
});

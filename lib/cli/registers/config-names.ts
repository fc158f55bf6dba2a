/** Registers of configuration space that every function has: where, how many bytes, what it is called. */
const common: readonly (readonly [at: number, bytes: number, name: string])[] = [
  [0x00, 2, 'Vendor ID'],
  [0x02, 2, 'Device ID'],
  [0x04, 2, 'Command'],
  [0x06, 2, 'Status'],
  [0x08, 1, 'Revision ID'],
  [0x09, 3, 'Class Code'],
  [0x0c, 1, 'Cache Line Size'],
  [0x0d, 1, 'Latency Timer'],
  [0x0e, 1, 'Header Type'],
  [0x0f, 1, 'BIST'],
  [0x34, 1, 'Capabilities Pointer'],
  [0x3c, 1, 'Interrupt Line'],
  [0x3d, 1, 'Interrupt Pin'],
];

/** By the type of the header: that of an endpoint, and that of a bridge. */
const ofType: readonly (typeof common)[] = [
  [
    ...Array.from({ length: 6 }, (_, index) => [0x10 + 4 * index, 4, `Base Address ${index}`] as const),
    [0x28, 4, 'CardBus CIS Pointer'],
    [0x2c, 2, 'Subsystem Vendor ID'],
    [0x2e, 2, 'Subsystem ID'],
    [0x30, 4, 'Expansion ROM Base Address'],
    [0x3e, 1, 'Min_Gnt'],
    [0x3f, 1, 'Max_Lat'],
  ],
  [
    [0x10, 4, 'Base Address 0'],
    [0x14, 4, 'Base Address 1'],
    [0x18, 1, 'Primary Bus Number'],
    [0x19, 1, 'Secondary Bus Number'],
    [0x1a, 1, 'Subordinate Bus Number'],
    [0x1b, 1, 'Secondary Latency Timer'],
    [0x1c, 1, 'I/O Base'],
    [0x1d, 1, 'I/O Limit'],
    [0x1e, 2, 'Secondary Status'],
    [0x20, 2, 'Memory Base'],
    [0x22, 2, 'Memory Limit'],
    [0x24, 2, 'Prefetchable Memory Base'],
    [0x26, 2, 'Prefetchable Memory Limit'],
    [0x28, 4, 'Prefetchable Base Upper 32 Bits'],
    [0x2c, 4, 'Prefetchable Limit Upper 32 Bits'],
    [0x30, 2, 'I/O Base Upper 16 Bits'],
    [0x32, 2, 'I/O Limit Upper 16 Bits'],
    [0x38, 4, 'Expansion ROM Base Address'],
    [0x3e, 2, 'Bridge Control'],
  ],
];

/** What an access of so many bytes there reaches: 'Device ID, Vendor ID' from the highest on, as the digits of its value are; '' without a name. */
export function configName(at: number, bytes: number, headerType: number): string {
  return [...common, ...(ofType[headerType & 0x7f] ?? [])]
    .filter(([start, size]) => start < at + bytes && at < start + size)
    .sort(([a], [b]) => b - a)
    .map(([, , name]) => name)
    .join(', ');
}

/** Regions of a PCI device by their indices in VFIO: as they are typed, and in words. */
const regions: readonly (readonly [name: string, title: string])[] = [
  ...Array.from({ length: 6 }, (_, bar) => [`bar${bar}`, `BAR ${bar}`] as const),
  ['rom', 'ROM'],
  ['config', 'configuration space'],
  ['vga', 'VGA'],
];

export const regionNames: readonly string[] = regions.map(([name]) => name);

/** 'bar0'; of one that only its device knows, 'region 9'. */
export function regionName(index: number): string {
  return regionNames[index] ?? `region ${index}`;
}

/** 'BAR 0'; 'its own' of one that only its device knows. */
export function regionTitle(index: number): string {
  return regions[index]?.[1] ?? 'its own';
}

import type { FileNode } from '../file-node.js';

/** A folder's entries, one for each device, under its address. */
export function bySlot<S extends { readonly address: string }>(slots: readonly S[], node: (slot: S) => FileNode): Record<string, FileNode> {
  return Object.fromEntries(slots.map((slot) => [slot.address, node(slot)]));
}

import { forElement } from '../kernel/error.js';
import { together } from '../kernel/resource.js';
import type { AddressSpace, MapOptions, MappedRange } from './address-space.js';

/** `mapMany` of an address space that takes one after the other. */
export function mapEach(space: Pick<AddressSpace, 'map' | 'unmap'>, list: readonly MapOptions[]): bigint[] {
  return together((undo) =>
    list.map((options, index) => {
      const iova = forElement(index, () => space.map(options));
      undo({ close: () => space.unmap({ iova, size: options.size }) });
      return iova;
    }),
  );
}

/** `unmapMany` of the same. */
export function unmapEach(space: Pick<AddressSpace, 'unmap'>, list: readonly MappedRange[]): bigint {
  return list.reduce((bytes, range, index) => bytes + forElement(index, () => space.unmap(range)), 0n);
}

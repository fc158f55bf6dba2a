/** What a user says of a machine's IOMMU. */
import { checked64, expected } from '../kernel/error.js';
import { emulatedIommu, type IommuFeature, type IommuKind, type IommuProfile, type KernelProfile, type ReservedRegion } from './profile.js';

/** An IOMMU that is not the one of its kind that QEMU emulates. What is left out is as that has it. */
export interface IommuOptions {
  readonly kind: Exclude<IommuKind, 'none' | 'spapr'>;
  /** Bits of the IOVAs that its page tables translate, 12 to 64: the aperture ends there. */
  readonly addressBits?: number;
  /** Sizes of its pages, in bytes: powers of two from 4096 on. */
  readonly pageSizes?: readonly bigint[];
  /** What cannot be mapped, in place of all that is reserved otherwise, the window for interrupts among it. */
  readonly reserved?: readonly ReservedRegion[];
  /** It makes devices' accesses coherent with the caches, whatever those ask for. */
  readonly enforcesCoherency?: boolean;
  /** Devices cannot forge interrupts of others. Where they can, a container opens with `allowUnsafeInterrupts` only. */
  readonly isolatesInterrupts?: boolean;
}

const page = 4096n;

/** @throws TypeError or RangeError that names the option. */
export function checkIommuOptions({ kind, addressBits = 48, pageSizes = [page], reserved = [] }: IommuOptions): void {
  if ((['none', 'spapr'] as readonly IommuKind[]).includes(kind))
    throw expected("'intel', 'amd', 'smmuv3' or 'virtio' where it has options", 'iommu.kind', kind);
  if (!Number.isInteger(addressBits) || addressBits < 12 || addressBits > 64)
    throw expected('an integer from 12 to 64', 'iommu.addressBits', addressBits);
  for (const size of pageSizes) {
    checked64('iommu.pageSizes', size);
    if (size < page || (size & (size - 1n)) !== 0n) throw expected('powers of two from 4096 on', 'iommu.pageSizes', size);
  }
  if (pageSizes.length === 0) throw expected('at least one size', 'iommu.pageSizes', '[]');
  for (const { start, last } of reserved) {
    checked64('iommu.reserved', start);
    checked64('iommu.reserved', last);
    if (last < start || ((start | (last + 1n)) & (page - 1n)) !== 0n)
      throw expected(
        'whole pages, of which the first is not behind the last,',
        'iommu.reserved',
        `0x${start.toString(16)}-0x${last.toString(16)}`,
      );
  }
}

/** The IOMMU of the machine, as its kernel's driver shows it. */
export function iommuProfile(
  { kind, addressBits, pageSizes, ...rest }: Omit<IommuOptions, 'kind'> & { readonly kind: IommuKind },
  kernel: KernelProfile,
  features: ReadonlySet<IommuFeature>,
): IommuProfile {
  return {
    ...emulatedIommu(kind, kernel, features),
    ...(addressBits !== undefined && { apertureLast: (1n << BigInt(addressBits)) - 1n }),
    ...(pageSizes !== undefined && { pageSizes: pageSizes.reduce((all, size) => all | size, 0n) }),
    ...rest,
  };
}

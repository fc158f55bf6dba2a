/** Deleted checks that no test can notice, each with the reason. */
interface Survivor {
  readonly file: string;
  /** The condition, as it is written. */
  readonly code: string;
  readonly replacement: string;
  readonly reason: string;
}

const compiler = 'the compiler refuses a function that ends without an answer';
const seam = 'the seam refuses memory shorter than its length word, so that the whole struct can be read where its beginning could';

const type1 = 'lib/sim/type1/driver.ts';

export const survivors: readonly Survivor[] = [
  {
    file: type1,
    code: 'case VFIO_TYPE1v2_IOMMU: return 1;',
    replacement: 'case VFIO_TYPE1v2_IOMMU:',
    reason: 'the next answer is 1 too',
  },
  { file: type1, code: 'default: return -errno.EINVAL;', replacement: 'default:', reason: compiler },
  { file: type1, code: 'bytes === undefined', replacement: 'false', reason: seam },
  {
    file: type1,
    code: 'mapping !== undefined && isPinned(mapping)',
    replacement: 'true',
    reason: 'devices reach memory only through a group with an IOMMU, and then every mapping is pinned',
  },
  {
    file: 'lib/sim/type1/mappings.ts',
    code: 'mapping.pin !== undefined',
    replacement: 'true',
    reason: 'devices reach memory only through a group with an IOMMU, and then every mapping is pinned',
  },
];

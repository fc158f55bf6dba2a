/** The length word: one byte too small for each struct, exactly the minimum, and far too large. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Request } from '../../lib/abi/ioctl.js';
import { requests } from '../../lib/abi/requests.js';
import type { View } from '../../lib/abi/struct.js';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_DETACH_IOMMUFD_PT } from '../../lib/abi/vfio/cdev.js';
import { VFIO_DEVICE_FEATURE } from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_QUERY_GFX_PLANE } from '../../lib/abi/vfio/gfx.js';
import { VFIO_DEVICE_IOEVENTFD } from '../../lib/abi/vfio/ioeventfd.js';
import { VFIO_DEVICE_SET_IRQS } from '../../lib/abi/vfio/irq.js';
import { VFIO_MIG_GET_PRECOPY_INFO } from '../../lib/abi/vfio/migration.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET } from '../../lib/abi/vfio/reset.js';
import * as spapr from '../../lib/abi/vfio/spapr.js';
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../lib/abi/vfio/type1.js';
import { askInfo } from '../../lib/kernel/answer.js';
import { Descriptor } from '../../lib/kernel/descriptor.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { answer, Seam } from '../support/seam.js';
import { byContainer, type Subject, type Variant } from '../support/subject.js';

export function sizes(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let files: ReturnType<Seam['ready']>;
  let page: Mapping;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    files = seam.ready(subject.edu);
    page = subject.kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
  });
  afterEach(() => {
    seam.closeAll();
    page.unmap();
  });

  /** In-fields with which the request succeeds. */
  const fill = (request: Request, view: View): void => {
    const fields = view as unknown as Record<string, number | bigint>;
    if (request === VFIO_IOMMU_MAP_DMA) {
      Object.assign(fields, { flags: 3, vaddr: subject.kernel.addressOf(page.memory!), iova: 0x10_0000n, size: 4096n });
    }
    if (request === VFIO_IOMMU_UNMAP_DMA) Object.assign(fields, { flags: 0, iova: 0x20_0000n, size: 4096n });
    if (request === VFIO_DEVICE_SET_IRQS) Object.assign(fields, { flags: 1 | 32, index: 4, start: 0, count: 0 });
  };
  /** What the filled request answers when its size is right: no eventfd was set that SET_IRQS could clear. */
  const success = (request: Request): string => (request === VFIO_DEVICE_SET_IRQS ? 'EINVAL' : '0');

  /** Requests of other devices and of device nodes; `features` has those of device features. */
  const elsewhere = new Set<unknown>([
    // A POWER machine's are tried in test/sim/spapr: no machine here has its IOMMU.
    ...Object.values(spapr),
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    VFIO_DEVICE_PCI_HOT_RESET,
    VFIO_DEVICE_QUERY_GFX_PLANE,
    VFIO_DEVICE_IOEVENTFD,
    VFIO_DEVICE_FEATURE,
    VFIO_DEVICE_BIND_IOMMUFD,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    VFIO_DEVICE_DETACH_IOMMUFD_PT,
    VFIO_MIG_GET_PRECOPY_INFO,
    VFIO_IOMMU_DIRTY_PAGES,
  ]);
  const structs = requests.filter((request) => typeof request.argument !== 'string' && request.on !== 'iommufd' && !elsewhere.has(request));
  it('every request with a struct is tried', () => expect(structs.length).toBe(8));

  describe.each(structs.map((request) => [request.name, request] as const))('%s', (_name, request) => {
    const call = (argsz: number, room: number): { result: string; view: View } => {
      if (typeof request.argument === 'string') throw new TypeError(request.name);
      const view = request.argument.create(Math.max(0, room - request.argument.size));
      fill(request, view);
      (view as unknown as { argsz: number }).argsz = argsz;
      return {
        result: answer(
          subject.kernel.ioctl(files[request.on as 'container' | 'group' | 'device'], request.number, view.bytes.subarray(0, room)),
        ),
        view,
      };
    };
    const size = (): number => (typeof request.argument === 'string' ? 0 : request.argument.size);

    it('no pointer is EFAULT', () => {
      expect(answer(subject.kernel.ioctl(files[request.on as 'container' | 'group' | 'device'], request.number))).toBe('EFAULT');
      expect(answer(subject.kernel.ioctl(files[request.on as 'container' | 'group' | 'device'], request.number, 8))).toBe('EFAULT');
    });

    it('a length of 0, and one byte below the minimum, is EINVAL', () => {
      expect(call(0, size()).result).toBe('EINVAL');
      expect(call(request.minimum - 1, size()).result).toBe('EINVAL');
    });

    it('exactly the minimum is enough, and nothing past it is touched', () => {
      if (typeof request.argument === 'string') throw new TypeError(request.name);
      const view = request.argument.create();
      view.bytes.fill(0xa5, request.minimum);
      const sentinel = view.bytes.slice(request.minimum);
      fill(request, view);
      (view as unknown as { argsz: number }).argsz = request.minimum;
      expect(answer(subject.kernel.ioctl(files[request.on as 'container' | 'group' | 'device'], request.number, view.bytes))).toBe(
        success(request),
      );
      expect(view.bytes.slice(request.minimum)).toEqual(sentinel);
    });

    it('far too large is fine where the room is real', () => {
      expect(call(1 << 20, 1 << 20).result).toBe(success(request));
    });

    it('more than the buffer has is refused before the kernel sees it', () => {
      expect(() => call(size() + 1, size())).toThrow(RangeError);
      expect(() => call(0xffff_ffff, size())).toThrow(request.name);
    });
  });

  it('GET_INFO of the IOMMU says how much room its capabilities take, and fills it', () => {
    if (typeof VFIO_IOMMU_GET_INFO.argument === 'string') throw new TypeError();
    const type = VFIO_IOMMU_GET_INFO.argument;
    const short = type.create() as unknown as { argsz: number; flags: number; cap_offset: number; bytes: Uint8Array };
    short.argsz = type.size;
    expect(answer(subject.kernel.ioctl(files.container, VFIO_IOMMU_GET_INFO.number, short.bytes))).toBe('0');
    expect(short.argsz).toBeGreaterThan(type.size);
    expect(short.cap_offset).toBe(0);
    const descriptor = Descriptor.adopt(subject.kernel, files.container, 'container');
    const { capabilities } = askInfo(descriptor, VFIO_IOMMU_GET_INFO, type as never);
    const known = capabilities.map(({ id, version }) => `${id} of version ${version}`);
    const dirtyTracking = byContainer(variant)(['2 of version 1'], []);
    expect(known).toEqual([...dirtyTracking, '3 of version 1', '1 of version 1']);
  });
}

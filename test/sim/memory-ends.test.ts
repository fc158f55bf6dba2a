/**
 * Arguments that memory ends in: what is read or written behind its end is EFAULT. A real process cannot be sure that nothing
 * lies behind; the simulated one has nothing there.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StructType } from '../../lib/abi/struct.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
} from '../../lib/abi/vfio/cdev.js';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
  vfio_device_feature_dma_buf,
} from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_DMA_LOGGING_START } from '../../lib/abi/vfio/dma-logging.js';
import { VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE } from '../../lib/abi/vfio/migration.js';
import { VFIO_DEVICE_SET_IRQS, vfio_irq_set } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../lib/abi/vfio/reset.js';
import {
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../lib/abi/vfio/type1.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import { simulate } from '../support/simulated.js';
import type { Subject } from '../support/subject.js';

const page = 4096;

describe.each(['6.12', '7.3'] as const)('on Linux %s', (version) => {
  let subject: Subject;
  let seam: Seam;
  let mapping: Mapping;

  beforeEach(() => {
    subject = simulate(version, 'intel').make();
    seam = new Seam(subject.kernel);
    mapping = subject.kernel.mmap(-1, page, 3, 0x22, 0) as Mapping;
  });
  afterEach(() => {
    seam.closeAll();
    mapping.unmap();
  });

  /** The request with a struct of which only so many bytes are there. */
  const ask = (
    fd: number,
    request: { number: number },
    type: StructType,
    fields: Record<string, number | bigint>,
    there: number,
  ): string => {
    const view = Object.assign(type.create(), fields) as { bytes: Uint8Array };
    new Uint8Array(mapping.memory!).set(view.bytes.subarray(0, there), page - there);
    return answer(subject.kernel.ioctl(fd, request.number, Number(subject.kernel.addressOf(mapping.memory!)) + page - there));
  };
  const feature = (fd: number, flags: number, room: number, there = 8): string =>
    ask(fd, VFIO_DEVICE_FEATURE, vfio_device_feature, { argsz: 8 + room, flags }, there);

  it('capabilities of a region', () => {
    const { device } = seam.ready(subject.express);
    const info = (argsz: number): string => ask(device, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { argsz, index: 3 }, 32);
    expect([info(32), info(64)]).toEqual(['0', 'EFAULT']);
    const display = seam.ready(new MediatedDevices(subject.kernel).make('mbochs-small')).device;
    expect(ask(display, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { argsz: 48, index: 9 }, 32)).toBe('EFAULT');
  });

  it('data of SET_IRQS', () => {
    const { device } = seam.ready(subject.edu);
    const fields = { argsz: 24, flags: 4 | 32, index: 4, start: 0, count: 1 };
    expect(ask(device, VFIO_DEVICE_SET_IRQS, vfio_irq_set, fields, 20)).toBe('EFAULT');
  });

  it('devices and groups of a reset of the bus', () => {
    const { device } = seam.ready(subject.express);
    expect(ask(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info, { argsz: 20 }, 12)).toBe('EFAULT');
    expect(ask(device, VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, { argsz: 16, count: 1 }, 12)).toBe('EFAULT');
  });

  it('payloads of device features', () => {
    const { device } = seam.ready(subject.express);
    const [set, get] = [VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_GET];
    expect(feature(device, set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, 8)).toBe('EFAULT');
    const known = version === '7.3';
    expect(feature(device, get | VFIO_DEVICE_FEATURE_DMA_BUF, 16)).toBe(known ? 'EFAULT' : 'ENOTTY');
    expect(feature(seam.ready(subject.functions().physical).device, set | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, 16)).toBe('EFAULT');
    const mediated = new MediatedDevices(subject.kernel);
    const serial = seam.ready(mediated.make('mtty-1')).device;
    for (const [flags, size] of [
      [set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 8],
      [get | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 8],
      [set | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 24],
      [get | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, 32],
    ] as const)
      expect([flags, feature(serial, flags, size)]).toEqual([flags, 'EFAULT']);
  });

  if (version === '7.3')
    it('ranges of a dma-buf', () => {
      const { device } = seam.ready(subject.express);
      const payload = Object.assign(vfio_device_feature_dma_buf.create(), { region_index: 0, open_flags: 0o2000002, nr_ranges: 1 });
      const view = vfio_device_feature.create(payload.bytes.byteLength);
      view.data.set(payload.bytes);
      Object.assign(view, { argsz: 8 + 16 + 16, flags: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF });
      new Uint8Array(mapping.memory!).set(view.bytes, page - view.bytes.byteLength);
      const address = Number(subject.kernel.addressOf(mapping.memory!)) + page - view.bytes.byteLength;
      expect(answer(subject.kernel.ioctl(device, VFIO_DEVICE_FEATURE.number, address))).toBe('EFAULT');
    });

  it('BIND_IOMMUFD, of which newer kernels read the length first', () => {
    const fd = seam.open('/dev/vfio/devices/vfio0');
    const bind = (argsz: number, there: number): string =>
      ask(fd, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, { argsz, iommufd: -1 }, there);
    const newer = version === '7.3';
    expect(bind(4, 4)).toBe(newer ? 'EINVAL' : 'EFAULT');
    expect(bind(4, 16)).toBe('EINVAL');
    expect(bind(24, 16)).toBe(newer ? 'EFAULT' : 'EINVAL');
    expect(bind(32, 24)).toBe(newer ? 'EFAULT' : 'EINVAL');
    expect(bind(24, 24)).toBe('EINVAL');
  });

  it('BIND_IOMMUFD of a device that its group gave out', () => {
    const { device } = seam.ready(subject.edu);
    const bind = (there: number): string =>
      ask(device, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, { argsz: 16, iommufd: -1 }, there);
    expect([bind(16), bind(12)]).toEqual(['EINVAL', 'EFAULT']);
  });

  it('PASID of ATTACH_IOMMUFD_PT', () => {
    const fd = seam.open('/dev/vfio/devices/vfio0');
    const iommufd = seam.open('/dev/iommu');
    expect(ask(fd, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, { argsz: 16, iommufd }, 16)).toBe('0');
    const fields = { argsz: 16, flags: VFIO_DEVICE_ATTACH_PASID };
    const expected = version === '7.3' ? 'EFAULT' : 'EINVAL';
    expect(ask(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt, fields, 12)).toBe(expected);
  });

  it('bitmaps of type1', () => {
    const { container } = seam.ready(subject.edu);
    const unmap = { argsz: 48, flags: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, size: 4096n };
    expect(ask(container, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, unmap, 24)).toBe('EFAULT');
    const get = { argsz: 48, flags: VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP };
    expect(ask(container, VFIO_IOMMU_DIRTY_PAGES, vfio_iommu_type1_dirty_bitmap, get, 8)).toBe('EFAULT');
  });

  it.each(['vfio', 'iommufd'] as const)('capabilities of type1, by the container of %s', (container) => {
    const { kernel, edu } = simulate(version, 'intel', { container }).make();
    subject = { ...subject, kernel };
    mapping.unmap();
    mapping = kernel.mmap(-1, page, 3, 0x22, 0) as Mapping;
    seam = new Seam(kernel);
    const fd = seam.ready(edu).container;
    const info = (argsz: number, there: number): string => ask(fd, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info, { argsz }, there);
    // There is nothing behind the struct; or the header of a capability, and not what it says.
    expect([info(24, 24), info(200, 24), info(200, 32)]).toEqual(['0', 'EFAULT', 'EFAULT']);
  });

  it('memory that is to be mapped', () => {
    const { container } = seam.ready(subject.edu);
    const vaddr = subject.kernel.addressOf(mapping.memory!);
    const map = (size: number): string => {
      const view = vfio_iommu_type1_dma_map.create();
      Object.assign(view, { argsz: view.bytes.byteLength, flags: 3, vaddr, iova: 0x10_0000n, size: BigInt(size) });
      return answer(subject.kernel.ioctl(container, VFIO_IOMMU_MAP_DMA.number, view.bytes));
    };
    expect([map(2 * page), map(page)]).toEqual(['EFAULT', '0']);
  });
});

/** Capabilities that neither the simulated kernel nor any machine of the lab gives, put into a kernel's answers. */
import { describe, expect, it } from 'vitest';
import { buildChain } from '../../lib/abi/chain.js';
import type { StructType } from '../../lib/abi/struct.js';
import {
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
  vfio_device_info_cap_pci_atomic_comp,
} from '../../lib/abi/vfio/device.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  vfio_region_info,
  vfio_region_info_cap_nvlink2_lnkspd,
  vfio_region_info_cap_nvlink2_ssatgt,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_info_cap_type,
  vfio_region_sparse_mmap_area,
} from '../../lib/abi/vfio/region.js';
import {
  vfio_device_info_cap_zpci_base,
  vfio_device_info_cap_zpci_group,
  vfio_device_info_cap_zpci_pfip,
  vfio_device_info_cap_zpci_util,
} from '../../lib/abi/vfio/zdev.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import { Edu, Machine } from '../../lib/sim/index.js';

type Fields = Record<string, unknown> & { header?: { id: number; version: number } };

/** A capability's bytes; `header` gives its id and version. */
function capability(type: StructType, id: number, version: number, fields: object, tail = 0): Uint8Array {
  const view = type.create(tail) as Fields & { bytes: Uint8Array };
  Object.assign(view, fields);
  Object.assign(view.header as object, { id, version });
  return view.bytes;
}

/** A kernel that answers an info request with a chain of these capabilities. */
function withCapabilities(kernel: Kernel, request: { number: number }, type: StructType, flag: number, capabilities: Uint8Array[]): Kernel {
  const chain = buildChain(capabilities, type.size, 8);
  const files = kernel.files;
  return Object.assign(Object.create(kernel) as Kernel, {
    files,
    open: kernel.open.bind(kernel),
    close: kernel.close.bind(kernel),
    pread: kernel.pread.bind(kernel),
    pwrite: kernel.pwrite.bind(kernel),
    mmap: kernel.mmap.bind(kernel),
    ioctl(fd: number, number: number, argument?: number | Uint8Array): number {
      const result = kernel.ioctl(fd, number, argument);
      if (number !== request.number || result !== 0 || !(argument instanceof Uint8Array)) return result;
      const room = new Uint32Array(argument.buffer, argument.byteOffset, 1)[0] ?? 0;
      const info = type.view(argument.buffer, argument.byteOffset, argument.byteLength) as Fields;
      info['flags'] = (info['flags'] as number) | flag;
      if (room < type.size + chain.byteLength) info['argsz'] = type.size + chain.byteLength;
      else {
        info['cap_offset'] = type.size;
        argument.set(chain, type.size);
      }
      return result;
    },
  });
}

const open = (request: { number: number }, type: StructType, flag: number, capabilities: Uint8Array[]): OpenDevice => {
  const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
  return openDevice(withCapabilities(kernel, request, type, flag, capabilities), '0000:00:03.0');
};
const device = (...capabilities: Uint8Array[]): OpenDevice =>
  open(VFIO_DEVICE_GET_INFO, vfio_device_info, VFIO_DEVICE_FLAGS_CAPS, capabilities);
const region = (...capabilities: Uint8Array[]): OpenDevice =>
  open(VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, VFIO_REGION_INFO_FLAG_CAPS | VFIO_REGION_INFO_FLAG_MMAP, capabilities);

describe('of a device', () => {
  it('tell which atomic operations are completed', () => {
    using opened = device(capability(vfio_device_info_cap_pci_atomic_comp, 5, 1, { flags: 0b101 }));
    expect(opened.device.info.atomicCompletions).toEqual([32, 128]);
  });

  it('tell what a PCI device on s390 is, in the form of older kernels too', () => {
    const base = capability(vfio_device_info_cap_zpci_base, 1, 2, { start_dma: 7n, fh: 9, ccdf_err_length: 64 });
    const older = capability(vfio_device_info_cap_zpci_base, 1, 1, { start_dma: 7n, vfn: 3 }).slice(0, 32);
    const group = capability(vfio_device_info_cap_zpci_group, 2, 2, { dasm: 5n, imaxstbl: 6 });
    const util = capability(vfio_device_info_cap_zpci_util, 3, 1, { size: 4 }, 4);
    util.set([1, 2, 3, 4], 12);
    const pfip = capability(vfio_device_info_cap_zpci_pfip, 4, 1, { size: 4 }, 4);
    using opened = device(base, group, util, pfip);
    const { zpci } = opened.device.info;
    expect([zpci.base?.start_dma, zpci.base?.fh, zpci.base?.ccdf_err_length]).toEqual([7n, 9, 64]);
    expect([zpci.group?.dasm, zpci.group?.imaxstbl]).toEqual([5n, 6]);
    expect([...zpci.util!.util_str]).toEqual([1, 2, 3, 4]);
    expect(zpci.pfip?.size).toBe(4);
    using before = device(older);
    expect([before.device.info.zpci.base?.vfn, before.device.info.zpci.base?.fh]).toEqual([3, 0]);
  });

  it('that are shorter than they ever were are a malformed answer', () => {
    const short = capability(vfio_device_info_cap_zpci_base, 1, 2, {}).slice(0, 32);
    expect(() => device(short)).toThrow("The kernel's answer is malformed");
  });
});

describe('of a region', () => {
  it('tell the areas that can be mapped', () => {
    const areas = capability(vfio_region_info_cap_sparse_mmap, 1, 1, { nr_areas: 2 }, 2 * vfio_region_sparse_mmap_area.size);
    new BigUint64Array(areas.buffer, 16).set([0n, 0x1000n, 0x4000n, 0x2000n]);
    using opened = region(areas);
    const { info, mmio, fastMmio } = opened.device.region(0);
    expect(info.mappable).toEqual([
      { offset: 0, size: 0x1000 },
      { offset: 0x4000, size: 0x2000 },
    ]);
    // Inside an area and between two.
    for (const registers of [mmio, fastMmio]) {
      expect([registers.read32(0), registers.read32(0x3000)]).toEqual([0x0100_00ed, 0xffff_ffff]);
      registers.writeList(Uint32Array.of(4, 0x3000), Uint32Array.of(0xf, 1));
      // Over the end of the area.
      const into = new Uint32Array(0x401);
      registers.readRange(0, into);
      expect([into[0], into[1], into[0x400]]).toEqual([0x0100_00ed, 0xffff_fff0, 0xffff_ffff]);
      expect(registers.poll32(4, { mask: 0xff, wanted: 0xf0, timeoutMilliseconds: 0 })).toBe(0xffff_fff0);
      expect(() => registers.readRange(info.size - 4, into)).toThrow(/^Expected a multiple of 4 from 0 to \d+ for offset but received /);
    }
  });

  it('tell what it is, and what it was on NVLink2', () => {
    using opened = region(
      capability(vfio_region_info_cap_type, 2, 1, { type: 1, subtype: 1 }),
      capability(vfio_region_info_cap_nvlink2_ssatgt, 4, 1, { tgt: 77n }),
      capability(vfio_region_info_cap_nvlink2_lnkspd, 5, 1, { link_speed: 3 }),
    );
    const { type, nvlink2, msixMappable } = opened.device.region(0).info;
    expect([type, nvlink2, msixMappable]).toEqual([{ type: 1, subtype: 1 }, { target: 77n, linkSpeed: 3 }, false]);
  });
});

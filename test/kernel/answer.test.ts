/** Answers that no right kernel gives: what the typed API makes of them. */
import { describe, expect, it } from 'vitest';
import { buildChain } from '../../lib/abi/chain.js';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info, vfio_iommu_type1_info_dma_avail } from '../../lib/abi/vfio/type1.js';
import { askInfo, findCapability } from '../../lib/kernel/answer.js';
import { Descriptor } from '../../lib/kernel/descriptor.js';
import type { Kernel } from '../../lib/kernel/kernel.js';

/** A kernel of which only ioctl answers, as given. */
const answering = (ioctl: (argument: Uint8Array) => number): Descriptor =>
  Descriptor.adopt(
    { ioctl: (_fd: number, _request: number, argument: Uint8Array) => ioctl(argument) } as unknown as Kernel,
    3,
    '/dev/test',
  );
const ask = (descriptor: Descriptor): ReturnType<typeof askInfo> => askInfo(descriptor, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info);
const view = (bytes: Uint8Array): ReturnType<typeof vfio_iommu_type1_info.view> => vfio_iommu_type1_info.view(bytes.buffer);

describe('an info request', () => {
  it('is repeated with the room the kernel asks for, every in-field set anew', () => {
    const rooms: number[] = [];
    const descriptor = answering((bytes) => {
      const info = view(bytes);
      rooms.push(info.argsz);
      expect([info.flags, info.cap_offset]).toEqual([0, 0]);
      info.flags = 3;
      if (info.argsz < 64) info.argsz = info.argsz < 48 ? 48 : 64;
      return 0;
    });
    expect(ask(descriptor).info.bytes.byteLength).toBe(64);
    expect(rooms).toEqual([24, 48, 64]);
  });

  it('to a kernel that asks for more each time ends', () => {
    const descriptor = answering((bytes) => {
      view(bytes).argsz += 8;
      return 0;
    });
    expect(() => ask(descriptor)).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_BAD_ANSWER', message: expect.stringContaining('asks for more room each time') }),
    );
  });

  it('that is refused names the request, the file and what to do', () => {
    expect(() => ask(answering(() => -errno.ENOTTY))).toThrow(
      "ENOTTY: inappropriate ioctl for device, ioctl VFIO_IOMMU_GET_INFO '/dev/test'",
    );
  });

  it('with a capability that is cut short is a bad answer', () => {
    const capability = buildChain([new Uint8Array([3, 0, 1, 0, 0, 0, 0, 0])], 24, 8);
    const descriptor = answering((bytes) => {
      const info = view(bytes);
      info.argsz = 32;
      if (bytes.byteLength < 32) return 0;
      info.flags = 3;
      info.cap_offset = 24;
      bytes.set(capability, 24);
      return 0;
    });
    const { capabilities } = ask(descriptor);
    expect(capabilities.map(({ id }) => id)).toEqual([3]);
    expect(() => findCapability(capabilities, 3, vfio_iommu_type1_info_dma_avail)).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_BAD_ANSWER' }),
    );
  });
});

/** What no driver of the samples shows: devices with fewer states, and devices that write memory. */
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '../../lib/abi/vfio/dma-logging.js';
import { vfio_device_feature, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET } from '../../lib/abi/vfio/feature.js';
import { Argument } from '../../lib/sim/argument.js';
import { dmaLoggingFeature, type DmaLogging } from '../../lib/sim/dma-logging.js';
import { FeatureRequest } from '../../lib/sim/features.js';
import type { Interval } from '../../lib/sim/interval-map.js';
import { changeState, nextState, type Migration } from '../../lib/sim/migration.js';
import { UserMemory } from '../../lib/sim/user-memory.js';

const [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] = [0, 1, 2, 3, 4, 5, 6, 7];
const [COPY, P2P, PRE] = [1, 2, 4];

/** The states a device goes through, as the comment above the kernel's table lists them; the last one may be an error. */
function path(from: number, to: number, flags: number): number[] {
  const steps = [from];
  while (steps.at(-1) !== to && (steps.at(-1) ?? -1) >= 0) steps.push(nextState(steps.at(-1) ?? -1, to, flags));
  return steps;
}

describe('nextState', () => {
  it('goes through every state where the device has all', () => {
    const all = COPY | P2P | PRE;
    expect(path(PRE_COPY, STOP_COPY, all)).toEqual([PRE_COPY, PRE_COPY_P2P, STOP_COPY]);
    expect(path(PRE_COPY, RESUMING, all)).toEqual([PRE_COPY, RUNNING, RUNNING_P2P, STOP, RESUMING]);
    expect(path(PRE_COPY_P2P, RUNNING, all)).toEqual([PRE_COPY_P2P, RUNNING_P2P, RUNNING]);
    expect(path(RESUMING, PRE_COPY, all)).toEqual([RESUMING, STOP, RUNNING_P2P, RUNNING, PRE_COPY]);
    expect(path(RUNNING, STOP_COPY, all)).toEqual([RUNNING, RUNNING_P2P, STOP, STOP_COPY]);
    expect(path(STOP, PRE_COPY_P2P, all)).toEqual([STOP, RUNNING_P2P, PRE_COPY_P2P]);
    expect(path(STOP_COPY, RUNNING, all)).toEqual([STOP_COPY, STOP, RUNNING_P2P, RUNNING]);
  });

  it('steps over states that the device lacks', () => {
    expect(path(RUNNING, STOP_COPY, COPY)).toEqual([RUNNING, STOP, STOP_COPY]);
    expect(path(STOP_COPY, RUNNING, COPY)).toEqual([STOP_COPY, STOP, RUNNING]);
    expect(path(PRE_COPY, STOP_COPY, COPY | PRE)).toEqual([PRE_COPY, STOP_COPY]);
    expect(path(PRE_COPY, STOP, COPY | PRE)).toEqual([PRE_COPY, RUNNING, STOP]);
    expect(path(RESUMING, RUNNING, COPY | P2P)).toEqual([RESUMING, STOP, RUNNING_P2P, RUNNING]);
  });

  it('is EINVAL for states the device lacks, for ERROR, from ERROR, and from STOP_COPY back to PRE_COPY', () => {
    const refused = -errno.EINVAL;
    expect([RUNNING_P2P, PRE_COPY, PRE_COPY_P2P].map((to) => nextState(RUNNING, to, COPY))).toEqual([refused, refused, refused]);
    expect(nextState(RUNNING, PRE_COPY_P2P, COPY | PRE)).toBe(refused);
    expect(nextState(RUNNING, ERROR, 7)).toBe(refused);
    expect([STOP, RUNNING, RESUMING, ERROR].map((to) => nextState(ERROR, to, 7))).toEqual([refused, refused, refused, refused]);
    expect([PRE_COPY, PRE_COPY_P2P].map((to) => nextState(STOP_COPY, to, 7))).toEqual([refused, refused]);
    expect([nextState(RUNNING, 8, 7), nextState(9, STOP, 7), nextState(PRE_COPY, RUNNING, COPY)]).toEqual([refused, refused, refused]);
  });

  it('a device that fails on its way stays where it is', () => {
    const device: Migration = { flags: 7, state: RUNNING, dataSize: 0, step: (next) => (next === STOP ? -errno.EIO : undefined) };
    expect(changeState(device, STOP_COPY)).toBe(-errno.EIO);
    expect(device.state).toBe(RUNNING_P2P);
  });
});

describe('DMA logging', () => {
  const memory = new UserMemory();
  const request = (flags: number, payload: Uint8Array): FeatureRequest => {
    const view = vfio_device_feature.create(payload.byteLength);
    Object.assign(view, { argsz: view.bytes.byteLength, flags });
    view.data.set(payload);
    return FeatureRequest.take(new Argument(view.bytes, memory)) as FeatureRequest;
  };
  const driver = (dirty: readonly (readonly [bigint, bigint])[], started: Interval[] = []): DmaLogging => ({
    start: (ranges) => {
      started.push(...ranges);
      return 8192n;
    },
    stop: () => 0,
    report: (_iova, _length, tell) => {
      for (const [iova, length] of dirty) tell(iova, length);
      return 0;
    },
  });
  const report = (logging: DmaLogging, bitmap: bigint, pageSize = 4096n): number | undefined => {
    const view = vfio_device_feature_dma_logging_report.create();
    Object.assign(view, { iova: 0x10_0000n, length: 0x10_0000n, page_size: pageSize, bitmap });
    return dmaLoggingFeature(request(VFIO_DEVICE_FEATURE_GET | 8, view.bytes), logging);
  };

  it('REPORT adds the bits of what was written to those that are set', () => {
    const bitmap = new ArrayBuffer(32);
    const bytes = new Uint8Array(bitmap);
    bytes[0] = 0x10;
    const logging = driver([
      [0x10_0000n, 1n],
      [0x10_2fffn, 2n],
      [0x10_f000n, 0x9000n],
    ]);
    expect(report(logging, memory.addressOf(bitmap))).toBe(0);
    expect([...bytes.subarray(0, 5)]).toEqual([0x1d, 0x80, 0xff, 0, 0]);
    bytes.fill(0);
    expect(report(logging, memory.addressOf(bitmap), 0x1_0000n)).toBe(0);
    expect([...bytes.subarray(0, 2)]).toEqual([0x03, 0]);
  });

  it('a bitmap that is not there is no error', () => {
    expect(report(driver([[0x10_0000n, 4096n]]), 0x1000n)).toBe(0);
  });

  it('START gives the driver its ranges and the user the page size of its choice', () => {
    const ranges = new ArrayBuffer(16);
    const range = vfio_device_feature_dma_logging_range.create();
    Object.assign(range, { iova: 0x1000n, length: 0x3000n });
    new Uint8Array(ranges).set(range.bytes);
    const control = vfio_device_feature_dma_logging_control.create();
    Object.assign(control, { page_size: 4096n, num_ranges: 1, ranges: memory.addressOf(ranges) });
    const started: Interval[] = [];
    const asked = request(VFIO_DEVICE_FEATURE_SET | 6, control.bytes);
    expect(dmaLoggingFeature(asked, driver([], started))).toBe(0);
    expect(started).toEqual([{ start: 0x1000n, last: 0x3fffn }]);
    expect(asked.payload(vfio_device_feature_dma_logging_control)?.page_size).toBe(8192n);
  });
});

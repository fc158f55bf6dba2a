/** Mediated devices where a real kernel cannot be asked: it would wait, or go down. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_DEVICE_FEATURE_SET } from '../../lib/abi/vfio/feature.js';
import {
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_STOP,
  vfio_device_feature_mig_state,
} from '../../lib/abi/vfio/migration.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import { Machine, type KernelVersion } from '../../lib/sim/index.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Place } from '../support/subject.js';

let seam: Seam;

function make(kernel: KernelVersion): { machine: Machine; place: Place } {
  const machine = new Machine({ kernel, mediated: ['mtty'] });
  seam = new Seam(machine.kernel);
  return { machine, place: new MediatedDevices(machine.kernel).make('mtty-1') };
}

afterEach(() => seam.closeAll());

it('a device that two have open is let go by the last', async () => {
  const { machine, place } = make('7.3');
  const { group, device } = seam.ready(place);
  seam.device(group, place.address);
  const removing = machine.unbind(place.address);
  seam.close(device);
  await new Promise(setImmediate);
  expect(machine.kernel.files.access(`/sys/bus/mdev/devices/${place.address}`)).toBe(0);
  seam.closeAll();
  await removing;
  expect(machine.kernel.files.access(`/sys/bus/mdev/devices/${place.address}`)).toBe(-2);
});

it('two who remove a device wait until it is let go', async () => {
  const { machine, place } = make('7.3');
  seam.ready(place);
  const removing = [machine.unbind(place.address), machine.unbind(place.address)];
  expect(machine.kernel.files.access(`/sys/bus/mdev/devices/${place.address}`)).toBe(0);
  seam.closeAll();
  await Promise.all(removing);
  expect(machine.kernel.files.access(`/sys/bus/mdev/devices/${place.address}`)).toBe(-2);
});

it('a device that was closed while it resumed has no data to go on with', () => {
  const { place } = make('7.3');
  const setState = (device: number, state: number): string => {
    const payload = Object.assign(vfio_device_feature_mig_state.create(), { device_state: state });
    return answer(seam.feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, payload.bytes));
  };
  expect(setState(seam.ready(place).device, VFIO_DEVICE_STATE_RESUMING)).toBe('0');
  seam.closeAll();
  expect(setState(seam.ready(place).device, VFIO_DEVICE_STATE_STOP)).toBe('EINVAL');
});

describe('the interrupts of the older driver', () => {
  let fd: number;
  let machine: Machine;
  const [BOOL, EVENTFD, TRIGGER] = [2, 4, 32];
  const [INTX, MSI, MSIX] = [0, 1, 2];

  beforeEach(() => {
    const made = make('6.1');
    machine = made.machine;
    fd = seam.ready(made.place).device;
    const info = Object.assign(vfio_device_info.create(), { argsz: vfio_device_info.size });
    expect(answer(machine.kernel.ioctl(fd, VFIO_DEVICE_GET_INFO.number, info.bytes))).toBe('0');
  });

  const set = (index: number, flags: number, data?: ArrayLike<number>): string =>
    seam.setIrqs(fd, { index, flags: flags | TRIGGER, ...(data && { data }) });
  /** Which of the eventfds were signalled for an interrupt of the empty transmitter. */
  const told = (...eventfds: number[]): boolean[] => {
    for (const value of [0, 2]) expect(machine.kernel.pwrite(fd, Uint8Array.of(value), 1)).toBe(1);
    return eventfds.map((eventfd) => machine.kernel.read(eventfd, new Uint8Array(8)) === 8);
  };

  it('go to the kind that was set up last, and no other is a kind', () => {
    const [intx, msi, none] = [seam.eventfd(), seam.eventfd(), seam.eventfd()] as const;
    expect(set(MSI, EVENTFD, [msi])).toBe('0');
    expect(told(intx, msi)).toEqual([false, true]);
    expect(set(INTX, EVENTFD, [intx])).toBe('0');
    expect(told(intx, msi)).toEqual([true, false]);
    expect(set(MSIX, EVENTFD, [none])).toBe('0');
    expect(told(intx, msi, none)).toEqual([true, false, false]);
  });

  it('take an eventfd only where one is said to be', () => {
    const [first, second] = [seam.eventfd(), seam.eventfd()] as const;
    expect(set(INTX, EVENTFD, [first])).toBe('0');
    expect(set(INTX, BOOL, new Uint8Array(Int32Array.of(second).buffer))).toBe('0');
    expect(told(first, second)).toEqual([true, false]);
    expect(set(INTX, EVENTFD)).toBe('0');
    expect(told(first, second)).toEqual([true, false]);
  });
});

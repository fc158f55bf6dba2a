/** Mediated devices where a real kernel cannot be asked: it would wait, or go down. */
import { afterEach, expect, it } from 'vitest';
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

it('an eventfd that is not given is none, of the older driver', () => {
  const { machine, place } = make('6.1');
  const { device } = seam.ready(place);
  const info = Object.assign(vfio_device_info.create(), { argsz: vfio_device_info.size });
  expect(answer(machine.kernel.ioctl(device, VFIO_DEVICE_GET_INFO.number, info.bytes))).toBe('0');
  expect(seam.setIrqs(device, { index: 0, flags: 4 | 32 })).toBe('0');
});

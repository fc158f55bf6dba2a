/** What the kernel says of devices. */
import { errno } from '../abi/errno.js';
import { O_NONBLOCK, O_RDONLY } from '../abi/system.js';
import type { Checks } from './check.js';
import { CannotLook, type Found } from './finding.js';
import { line, reason, type Scene } from './scene.js';

const log = '/dev/kmsg';
/** As many as a log of 4 MiB can have; no machine is waited for that writes faster than it is read. */
const mostRecords = 100_000;

/** The log's messages, oldest first. @throws CannotLook */
function messages(scene: Scene): string[] {
  const { kernel } = scene;
  const status = scene.status(log);
  if (status === undefined) return [];
  // Of a recorded machine it is a text.
  if (status.kind === 'file') return scene.text(log).split('\n');
  const { open, read, close } = kernel;
  if (open === undefined || read === undefined || close === undefined) throw new CannotLook(`needs the addon to read ${log}`);
  const fd = open.call(kernel, log, O_RDONLY | O_NONBLOCK);
  if (fd === -errno.EPERM || fd === -errno.EACCES) throw new CannotLook(`needs root to read ${log}`);
  if (fd < 0) throw new CannotLook(`${log}: ${reason(fd)}`);
  try {
    return [...records((bytes) => read.call(kernel, fd, bytes))];
  } finally {
    close.call(kernel, fd);
  }
}

/** Each read is a record: 'priority,number,time,flags;message', and lines of details. */
function* records(read: (bytes: Uint8Array) => number): Iterable<string> {
  const bytes = new Uint8Array(new ArrayBuffer(8192));
  for (let count = 0; count < mostRecords; count += 1) {
    const length = read(bytes);
    // The log went over this one; the next read goes on behind.
    if (length === -errno.EPIPE) continue;
    if (length <= 0) return;
    const [record = ''] = new TextDecoder().decode(bytes.subarray(0, length)).split('\n');
    yield record.replace(/^[^;]*;/, '');
  }
}

const complaint = /DMAR:.*fault|AMD-Vi:.*IO_PAGE_FAULT|arm-smmu.*fault/i;

function* dmaFaults(scene: Scene): Iterable<Found> {
  const faults = messages(scene).filter((message) => complaint.test(message));
  for (const { address } of scene.devices) {
    // Units leave the domain out where it is 0.
    const short = address.replace(/^0000:/, '');
    const own = faults.filter((message) => message.includes(short));
    if (own.length > 0)
      yield {
        severity: 'warning',
        device: address,
        evidence: own.slice(-3).map((message) => line(log, message)),
        fix: ['# Look at what the driver told the device: is it still mapped, at that IOVA, for reading and for writing?'],
      };
  }
}

export const logChecks = { 'dma-faults': dmaFaults } satisfies Checks;

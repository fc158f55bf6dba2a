/** Turning a controller on and off by its registers, and seeing in them what is wrong with it. */
import type { Device } from 'vfio';
import { pollUntil, type DeviceRegisters } from 'vfio/driver';
import { command, completion, type layout } from './layout.js';
import type { QueuePair } from './queue-pair.js';

export type ControllerRegisters = DeviceRegisters<typeof layout>;

/** What no controller says, but a bus with nothing at that address. */
const ones = 0xffff_ffff;

/** Says how the controller is. @throws Error when it is gone or has failed, and will end no command any more. */
export function examine({ CSTS }: ControllerRegisters): string {
  const status = CSTS.read();
  const text = CSTS.describe(status);
  if (status === ones) throw new Error('The controller is gone: its registers read as ones');
  if (CSTS.get('CFS') === 1) throw new Error(`The controller gave up: ${text}`);
  return text;
}

/** The same of one that is to be working. */
export function examineWorking(registers: ControllerRegisters): string {
  const text = examine(registers);
  if (registers.CSTS.get('RDY') === 0) throw new Error(`The controller was reset by somebody else: ${text}`);
  return text;
}

/** Enables the controller with these admin queues. @throws Error as `examine`; CodedError ERR_VFIO_TIMEOUT */
export async function enable(registers: ControllerRegisters, admin: QueuePair): Promise<void> {
  const { CC, CSTS, AQA, ASQ, ACQ } = registers;
  AQA.write({ ASQS: admin.depth - 1, ACQS: admin.depth - 1 });
  ASQ.write(admin.submissions.iova);
  ACQ.write(admin.completions.iova);
  CC.write({ EN: 1, IOSQES: Math.log2(command.size), IOCQES: Math.log2(completion.size) });
  await pollUntil(() => examine(registers) && (CSTS.get('RDY') === 1 || undefined), { what: 'RDY=1', ...patience(registers) });
}

/** Resets the controller; one that is gone need not be. @throws CodedError ERR_VFIO_TIMEOUT */
export async function disable(registers: ControllerRegisters): Promise<void> {
  const { CC, CSTS } = registers;
  if (CSTS.read() === ones) return;
  CC.change({ EN: 0 });
  const off = (): true | undefined => CSTS.get('RDY') === 0 || CSTS.read() === ones || undefined;
  await pollUntil(off, { what: 'RDY=0', ...patience(registers) });
}

/** Has the controller put on the medium what it was given. @throws Error as `examine`; CodedError ERR_VFIO_TIMEOUT */
export async function shutDown(registers: ControllerRegisters, timeoutMilliseconds: number): Promise<void> {
  const { CC, CSTS } = registers;
  examine(registers);
  CC.change({ SHN: 'normal' });
  const complete = (): true | undefined => (examine(registers) && CSTS.get('SHST') === 2) || undefined;
  await pollUntil(complete, { what: 'SHST=complete', found: () => CSTS.describe(CSTS.read()), timeoutMilliseconds });
}

/** Sees to it that the controller reaches memory no more, in whatever state it is. */
export async function halt(registers: ControllerRegisters, device: Device): Promise<void> {
  try {
    await disable(registers);
  } finally {
    device.disableBusMaster();
  }
}

/** CAP.TO counts half seconds, of which the controller says how many it may take. */
function patience({ CAP, CSTS }: ControllerRegisters): { readonly timeoutMilliseconds: number; readonly found: () => string } {
  return { timeoutMilliseconds: 500 * Math.max(1, CAP.get('TO')), found: () => CSTS.describe(CSTS.read()) };
}

/** The controller's registers (NVM Express 1.4, section 3.1): offsets in BAR 0 and what their bits mean. */
export const registers = {
  capabilities: 0x00,
  version: 0x08,
  interruptMaskSet: 0x0c,
  interruptMaskClear: 0x10,
  configuration: 0x14,
  status: 0x1c,
  adminQueueAttributes: 0x24,
  adminSubmissionQueue: 0x28,
  adminCompletionQueue: 0x30,
} as const;

/** Where the registers end and the doorbells begin. */
export const doorbells = 0x1000;

/** Entries a queue can have at most, less one. */
export const lastQueueEntry = 0x7ff;
const contiguousQueues = 1n << 16n;
const timeout = 0xfn << 24n;
/** Of command sets: NVM, all that are supported, and none but the admin commands. */
const commandSetChoices = [0, 6, 7] as const;
const largestPage = 4;

/** CAP: queues, timeout, command sets and page sizes. Doorbells follow each other without a gap. */
export const capabilities =
  BigInt(lastQueueEntry) |
  contiguousQueues |
  timeout |
  commandSetChoices.reduce((sum, choice) => sum | (1n << BigInt(37 + choice)), 0n) |
  (BigInt(largestPage) << 52n);

/** Version 1.4. */
export const specification = 0x0001_0400;

export const ready = 1 << 0;
export const fatal = 1 << 1;
export const shutdownStatus = 3 << 2;
export const shutdownComplete = 2 << 2;

/** What CC says. */
export interface Configuration {
  readonly enabled: boolean;
  /** Which commands there are: 0 those of NVM, 6 those of each namespace's set, 7 the admin commands alone. */
  readonly commandSet: number;
  /** Bytes of a memory page. */
  readonly pageSize: number;
  readonly shutdown: boolean;
  /** Whether a controller can be enabled like that: the sizes of page and queue entries, the command set. */
  readonly possible: boolean;
}

export function parseConfiguration(value: number): Configuration {
  const page = (value >>> 7) & 0xf;
  const commandSet = (value >>> 4) & 7;
  const [submissionEntry, completionEntry] = [(value >>> 16) & 0xf, (value >>> 20) & 0xf];
  return {
    enabled: (value & 1) !== 0,
    commandSet,
    pageSize: 4096 << page,
    shutdown: (value & (3 << 14)) !== 0,
    possible:
      (commandSetChoices as readonly number[]).includes(commandSet) &&
      page <= largestPage &&
      submissionEntry === 6 &&
      completionEntry === 4,
  };
}

/** Command sets of CC.CSS. */
export const adminCommandsOnly = 7;
export const everyCommandSet = 6;

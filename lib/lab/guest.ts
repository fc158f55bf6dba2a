import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packInitramfs } from './initramfs.js';
import type { BuiltKernel } from './kernel.js';
import { deviceArguments, drivenIds, hostDriverInitcalls, iommuMachines, type IommuName } from './machines.js';
import { commandScript, quote } from './shell.js';
import { lastLines, say } from './steps.js';
import { withTemporaryFolder } from './temporary.js';

export interface Guest {
  readonly kernel: BuiltKernel;
  readonly iommu: IommuName;
  /** Values of QEMU's -device. */
  readonly devices: readonly string[];
  readonly kernelArguments: readonly string[];
  readonly memoryMegabytes: number;
  readonly timeoutSeconds: number;
  /** Give the devices that drivers are written for to vfio-pci before the command begins. */
  readonly bind: boolean;
  /** Have the kernel's own drivers of those devices, as far as it was built with any. */
  readonly hostDrivers: boolean;
  /** A folder of the host that the command may write to, at the same path. */
  readonly output: string | undefined;
  /** Pass on what the kernel prints, from the first line. */
  readonly bootLog: boolean;
}

/** As timeout(1) says it. */
const timedOut = 124;
/** The command was well, but the kernel was not. */
const kernelComplained = 70;
/** The emulator was not well, and neither the kernel nor the command could help it: EX_TEMPFAIL of sysexits.h. */
export const emulatorFailed = 75;
const pollMilliseconds = 30;
/** An emulated processor now and then misses an interrupt while booting when the host is busy, and waits for ever. */
const bootAttempts = 3;
const silenceSeconds = 30;

/** Boots the guest, runs the command in it with the host's files, and gives its exit status. */
export async function runInGuest(guest: Guest, command: readonly string[]): Promise<number> {
  const started = performance.now();
  say(
    `Linux ${guest.kernel.version}${guest.kernel.variant === 'default' ? '' : ` (${guest.kernel.variant})`}, ${guest.iommu === 'none' ? 'no' : guest.iommu} IOMMU, ${guest.devices.join(' + ') || 'no device'}: ${command.join(' ')}`,
  );
  let status: number | undefined;
  for (let attempt = 1; status === undefined; attempt += 1)
    status = await withTemporaryFolder(join(tmpdir(), 'vfio-lab-'), (work) => runOnce(guest, command, work, attempt === bootAttempts));
  say(`the guest ended after ${((performance.now() - started) / 1000).toFixed(1)} s with status ${status}`);
  return status;
}

/** The command's exit status, or nothing when the command never began and that was not the last attempt. */
async function runOnce(guest: Guest, command: readonly string[], work: string, last: boolean): Promise<number | undefined> {
  writeFileSync(
    join(work, 'settings'),
    `bind=${quote(guest.bind ? drivenIds(guest.devices).join(' ') : '')}\noutput=${quote(guest.output ?? '')}\n`,
  );
  const machine = { VFIO_LAB_IOMMU: guest.iommu, VFIO_LAB_CONTAINER: guest.kernel.variant === 'iommufd-container' ? 'iommufd' : 'vfio' };
  writeFileSync(join(work, 'command'), commandScript(command, process.cwd(), { ...process.env, ...machine }));
  const ending = await boot(guest, work);
  if (ending === 'late') return timedOut;
  if (ending === 'timeless') return emulatorFailed;
  if (ending === 'over' && commandBegan(work)) return readStatus(work);
  const what = `the guest ${ending === 'stuck' ? `said nothing for ${silenceSeconds} s while booting` : 'ended before the command began'}`;
  const words = `The last its kernel said:\n${lastLines(consoleText(work), last ? 30 : 3) || '(nothing)'}`;
  if (last) throw new Error(`${what}. ${words}`);
  say(`${what}, as can happen on a busy machine; once more. ${words}`);
  return undefined;
}

/**
 * Over: the guest ended. Late: it did not in time. Stuck: it stopped on its way to the command. Timeless: a processor of it has no
 * timer any more, so that what sleeps on it sleeps for ever.
 */
async function boot(guest: Guest, work: string): Promise<'over' | 'late' | 'stuck' | 'timeless'> {
  const qemu = spawn('qemu-system-x86_64', qemuArguments(guest, work), { stdio: ['ignore', 'ignore', 'inherit'] });
  const kill = (): void => void qemu.kill('SIGKILL');
  // No guest outlives this process; and it ends before the folder it writes to is removed.
  process.prependOnceListener('exit', kill);
  const ended = new Promise<void>((resolve, reject) => {
    qemu.once('error', reject);
    qemu.once('exit', () => resolve());
  });
  const deadline = performance.now() + guest.timeoutSeconds * 1000;
  const streams = [new Follower(join(work, 'stdout'), process.stdout), new Follower(join(work, 'stderr'), process.stderr)];
  const all = guest.bootLog ? [...streams, new Follower(join(work, 'console'), process.stderr)] : streams;
  const stuck = stuckDetector(work);
  const timeless = timerDetector(work);
  try {
    for (;;) {
      await Promise.race([ended, delay(pollMilliseconds)]);
      for (const stream of all) stream.follow();
      if (qemu.exitCode !== null || qemu.signalCode !== null) break;
      if (performance.now() >= deadline) {
        say(
          `no end after ${guest.timeoutSeconds} s. The last the guest printed:\n${lastLines(streams.map(({ tail }) => tail).join(''), 10)}`,
        );
        say(`the last its kernel said:\n${lastLines(consoleText(work), 15)}`);
        return 'late';
      }
      if (stuck()) return 'stuck';
      if (timeless()) {
        say('a processor of the guest lost its timer, which emulated ones do now and then on a busy machine: run it again');
        return 'timeless';
      }
    }
    if (qemu.exitCode !== 0) throw new Error(`QEMU failed with ${qemu.exitCode ?? qemu.signalCode}; it says why above`);
    return 'over';
  } finally {
    kill();
    await ended;
    process.off('exit', kill);
    for (const stream of all) stream.close();
  }
}

/** Tells whether a guest that has not come to its command has been silent for too long. */
function stuckDetector(work: string): () => boolean {
  let size = 0;
  let grown = performance.now();
  return () => {
    const now = consoleSize(work);
    if (now !== size) grown = performance.now();
    size = now;
    return performance.now() - grown > silenceSeconds * 1000 && !commandBegan(work);
  };
}

/** Tells whether the kernel has found that a processor gets no timer interrupts. */
function timerDetector(work: string): () => boolean {
  let size = 0;
  return () => {
    const now = consoleSize(work);
    if (now === size) return false;
    size = now;
    return timerLost(consoleText(work));
  };
}

/** What the kernel says of it, once it has waited 21 seconds. */
export function timerLost(log: string): boolean {
  return /kthread timer wakeup didn't happen/.test(log);
}

/** The guest writes this file when all is ready for the command. */
function commandBegan(work: string): boolean {
  return existsSync(join(work, 'boot.log'));
}

const kernelArguments = [
  'console=ttyS0',
  'panic=-1',
  // Long enough that no warning is lost before it is read.
  'log_buf_len=4M',
  // On a busy host the emulated timer is late for the kernel's test of it, and the TSC looks unstable though it is the host's.
  'no_timer_check',
  'tsc=reliable',
];

/** Drivers of the kernel that would take devices before a program has them begin only where somebody wants them. */
export function kernelCommandLine(guest: Pick<Guest, 'iommu' | 'hostDrivers' | 'kernelArguments'>): string {
  const notBegun = guest.hostDrivers ? [] : [`initcall_blacklist=${hostDriverInitcalls.join()}`];
  return [...kernelArguments, ...notBegun, ...iommuMachines[guest.iommu].kernel, ...guest.kernelArguments].join(' ');
}

function qemuArguments(guest: Guest, work: string): string[] {
  const machine = iommuMachines[guest.iommu];
  const share = (name: string, path: string, options = ''): string[] => [
    '-fsdev',
    `local,id=${name},path=${path.replaceAll(',', ',,')},security_model=none${options}`,
    '-device',
    `virtio-9p-pci,fsdev=${name},mount_tag=${name},disable-legacy=on`,
  ];
  return [
    ...machine.qemu,
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    'max',
    '-smp',
    '2',
    '-m',
    String(guest.memoryMegabytes),
    '-nodefaults',
    '-no-reboot',
    '-display',
    'none',
    '-monitor',
    'none',
    '-serial',
    `file:${join(work, 'console')}`,
    '-kernel',
    guest.kernel.image,
    '-initrd',
    packInitramfs(work),
    '-append',
    kernelCommandLine(guest),
    ...share('host', '/', ',readonly=on,multidevs=remap'),
    ...share('lab', work),
    ...(guest.output === undefined ? [] : share('output', guest.output)),
    ...deviceArguments(guest.devices, (name) => emptyDisk(join(work, name))),
  ];
}

function emptyDisk(file: string): string {
  writeFileSync(file, '');
  truncateSync(file, 64 << 20);
  return file;
}

/** The command's exit status, which the guest wrote down after the kernel's log; without one, something went wrong before. */
function readStatus(work: string): number {
  const status = readIfThere(join(work, 'status')).trim();
  if (!/^\d+$/.test(status)) {
    throw new Error(
      `The guest ended without an exit status. The last its kernel said:\n${lastLines(consoleText(work), 30) || '(nothing)'}`,
    );
  }
  const complaints = kernelComplaints(readFileSync(join(work, 'kernel.log'), 'utf8'));
  if (complaints.length === 0) return Number(status);
  say(`the kernel complained while the command ran:\n${complaints.join('\n')}`);
  return Number(status) || kernelComplained;
}

/** Lines of a kernel log that no test may cause, each with what follows it. */
export function kernelComplaints(log: string): string[] {
  const lines = log.split('\n');
  return lines.flatMap((line, index) =>
    /\b(WARNING:|BUG:|kernel BUG at|Oops|general protection fault|INFO: task .* blocked|Kernel panic)/.test(line)
      ? [
          lines
            .slice(index, index + 12)
            .join('\n')
            .trimEnd(),
        ]
      : [],
  );
}

function consoleSize(work: string): number {
  return statSync(join(work, 'console'), { throwIfNoEntry: false })?.size ?? 0;
}

function consoleText(work: string): string {
  return readIfThere(join(work, 'console')).replaceAll('\r', '');
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** Passes on what is appended to a file, byte for byte. */
class Follower {
  readonly #path: string;
  readonly #to: NodeJS.WritableStream;
  readonly #chunk = Buffer.alloc(1 << 16);
  #fd: number | undefined;
  #offset = 0;
  #tail = '';

  constructor(path: string, to: NodeJS.WritableStream) {
    this.#path = path;
    this.#to = to;
  }

  /** The end of what was passed on. */
  get tail(): string {
    return this.#tail;
  }

  follow(): void {
    if (this.#fd === undefined && existsSync(this.#path)) this.#fd = openSync(this.#path, 'r');
    if (this.#fd === undefined) return;
    for (;;) {
      const count = readSync(this.#fd, this.#chunk, 0, this.#chunk.length, this.#offset);
      if (count === 0) return;
      this.#offset += count;
      const part = Buffer.from(this.#chunk.subarray(0, count));
      this.#to.write(part);
      this.#tail = (this.#tail + part.toString()).slice(-4096);
    }
  }

  close(): void {
    this.follow();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packInitramfs } from './initramfs.js';
import type { BuiltKernel } from './kernel.js';
import { deviceArguments, drivenIds, iommuMachines, type IommuName } from './machines.js';
import { commandScript, quote } from './shell.js';
import { lastLines, say } from './steps.js';

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
  /** A folder of the host that the command may write to, at the same path. */
  readonly output: string | undefined;
}

/** As timeout(1) says it. */
const timedOut = 124;
/** The command was well, but the kernel was not. */
const kernelComplained = 70;
const pollMilliseconds = 30;

/** Boots the guest, runs the command in it with the host's files, and gives its exit status. */
export async function runInGuest(guest: Guest, command: readonly string[]): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'vfio-lab-'));
  try {
    writeFileSync(
      join(work, 'settings'),
      `bind=${quote(guest.bind ? drivenIds(guest.devices).join(' ') : '')}\noutput=${quote(guest.output ?? '')}\n`,
    );
    writeFileSync(join(work, 'command'), commandScript(command, process.cwd(), { ...process.env, VFIO_LAB_IOMMU: guest.iommu }));
    const started = performance.now();
    say(
      `Linux ${guest.kernel.version}, ${guest.iommu === 'none' ? 'no' : guest.iommu} IOMMU, ${guest.devices.join(' + ') || 'no device'}: ${command.join(' ')}`,
    );
    const finished = await boot(guest, work);
    const status = finished ? await readStatus(work) : timedOut;
    say(`the guest ended after ${((performance.now() - started) / 1000).toFixed(1)} s with status ${status}`);
    return status;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** True when the guest powered itself off in time. */
async function boot(guest: Guest, work: string): Promise<boolean> {
  const qemu = spawn('qemu-system-x86_64', qemuArguments(guest, work), { stdio: ['ignore', 'ignore', 'inherit'] });
  const kill = (): void => void qemu.kill('SIGKILL');
  // A signal ends this process by way of exit, so that no guest outlives it.
  const interrupted = (): never => process.exit(130);
  process.once('exit', kill).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const ended = new Promise<void>((resolve, reject) => {
    qemu.once('error', reject);
    qemu.once('exit', () => resolve());
  });
  const deadline = performance.now() + guest.timeoutSeconds * 1000;
  const streams = [new Follower(join(work, 'stdout'), process.stdout), new Follower(join(work, 'stderr'), process.stderr)];
  const running = (): boolean => qemu.exitCode === null && qemu.signalCode === null;
  try {
    while (running() && performance.now() < deadline) {
      await Promise.race([ended, delay(pollMilliseconds)]);
      for (const stream of streams) stream.follow();
    }
    const inTime = !running();
    if (!inTime) {
      kill();
      say(
        `no end after ${guest.timeoutSeconds} s. The last the guest printed:\n${lastLines(streams.map(({ tail }) => tail).join(''), 10)}`,
      );
      say(`the last its kernel said:\n${lastLines(readIfThere(join(work, 'console')), 15)}`);
    }
    await ended;
    return inTime;
  } finally {
    process.off('exit', kill).off('SIGINT', interrupted).off('SIGTERM', interrupted);
    for (const stream of streams) stream.close();
  }
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
    // On a busy host the emulated timer is late for the kernel's test of it, and the kernel would give up.
    ['console=ttyS0', 'panic=-1', 'no_timer_check', ...machine.kernel, ...guest.kernelArguments].join(' '),
    ...share('host', '/', ',readonly=on,multidevs=remap'),
    ...share('lab', work),
    ...(guest.output === undefined ? [] : share('output', guest.output)),
    ...deviceArguments(guest.devices),
  ];
}

/** The command's exit status, which the guest wrote down; without one, something went wrong before. */
async function readStatus(work: string): Promise<number> {
  const status = readIfThere(join(work, 'status')).trim();
  if (!/^\d+$/.test(status)) {
    throw new Error(
      `The guest ended without an exit status. The last its kernel said:\n${lastLines(readIfThere(join(work, 'console')), 30)}`,
    );
  }
  const complaints = kernelComplaints(readIfThere(join(work, 'kernel.log')));
  if (complaints.length === 0) return Number(status);
  say(`the kernel complained while the command ran:\n${complaints.join('\n')}`);
  return Number(status) || kernelComplained;
}

/** Lines of a kernel log that no test may cause, each with what follows it. */
export function kernelComplaints(log: string): string[] {
  const lines = log.split('\n');
  return lines.flatMap((line, index) =>
    /\b(WARNING:|BUG:|Oops|general protection fault|INFO: task .* blocked|Kernel panic)/.test(line)
      ? [lines.slice(index, index + 12).join('\n')]
      : [],
  );
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

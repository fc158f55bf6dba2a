/** The command, run in this process on a simulated machine, and what it said. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../lib/cli/program.js';
import type { MachineDescription } from '../../lib/sim/machine-description.js';

export interface Said {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  /** What it printed with --json. */
  readonly json: unknown;
}

interface RunOptions {
  /** The machine that `--sim` is given. */
  readonly machine?: MachineDescription;
  readonly interactive?: boolean;
  readonly signal?: AbortSignal;
}

/** Runs `vfio ARGS`, with `--sim` and the machine's description before them if there is one. */
export async function vfio(
  args: readonly string[],
  { machine, interactive = false, signal = new AbortController().signal }: RunOptions = {},
): Promise<Said> {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-cli-'));
  const file = join(folder, 'machine.json');
  const said = { out: '', err: '' };
  try {
    if (machine !== undefined) writeFileSync(file, JSON.stringify(machine));
    const status = await run(machine === undefined ? args : ['--sim', file, ...args], '0.0.0', {
      write: (text) => void (said.out += text),
      note: (text) => void (said.err += text),
      interactive,
      signal,
    });
    return {
      status,
      ...said,
      get json() {
        return JSON.parse(said.out) as unknown;
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

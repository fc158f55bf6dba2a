import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isCall, parseRecording, type Part } from '../kernel/recording/entries.js';
import { withTemporaryFolder } from '../lab/temporary.js';
import type { Context } from './context.js';
import * as exit from './exit.js';
import { Misuse } from './exit.js';
import { messageOf } from './message.js';
import type { ReplayReport } from './instrument/settings.js';
import { launch } from './launch.js';

/** Runs the program against the recording; gives its status, or says where it departed. */
export async function replay(context: Context, file: string, command: readonly string[]): Promise<number> {
  if (context.simulated !== undefined) throw new Misuse('--sim: a recording needs no machine');
  const parts = read(file);
  return withTemporaryFolder(join(tmpdir(), 'vfio-'), async (folder) => {
    const status = await launch(context, command, { mode: 'replay', folder, recording: resolve(file) });
    const reports = reportsIn(folder, parts);
    const departures = reports.filter(({ departed, left = 0 }) => departed !== undefined || left > 0);
    if (departures.length === 0) return status;
    context.terminal.note(context.json ? `${JSON.stringify({ status, departures })}\n` : departures.map(text).join(''));
    return exit.departed;
  });
}

function read(file: string): ReadonlyMap<number, Part> {
  try {
    return parseRecording(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Misuse(`${file}: ${messageOf(error)}`);
  }
}

/** What the program's threads left, and for parts that none took that all of it is left. */
function reportsIn(folder: string, parts: ReadonlyMap<number, Part>): ReplayReport[] {
  const files = new Set(readdirSync(folder));
  const report = (name: string): ReplayReport => JSON.parse(readFileSync(join(folder, name), 'utf8')) as ReplayReport;
  const ofParts = [...parts].map(([number, { entries }]) =>
    files.has(`${number}.json`) ? report(`${number}.json`) : files.has(String(number)) ? killed : { left: entries.filter(isCall).length },
  );
  return [...ofParts, ...[...files].filter((name) => name.startsWith('more-')).map(report)];
}

/** A thread that was ended from outside could not say how far it was. */
const killed: ReplayReport = { departed: { message: 'The program was killed before it could say how many calls are left', stack: '' } };

function text({ departed, left = 0 }: ReplayReport): string {
  if (departed === undefined) return `vfio: The program ended before the recording does: ${left} recorded calls were not made\n`;
  return `vfio: ${departed.message}\n${departed.stack === '' ? '' : `${departed.stack}\n`}`;
}

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { Instrument } from '../../kernel/instrument.js';
import type { Kernel } from '../../kernel/kernel.js';
import { parseRecording, type Part } from '../../kernel/recording/entries.js';
import { DepartedError, replayPart } from '../../kernel/recording/replay.js';
import { programHere, takePart } from './parts.js';
import type { ReplayReport, ReplaySettings } from './settings.js';

/** A kernel that answers from the recording, and reports how the program kept to it. */
export function replaying(settings: ReplaySettings): Instrument {
  return () => replayed(settings);
}

function replayed({ folder, recording }: ReplaySettings): Kernel {
  const tell = (part: number | string, report: ReplayReport): void => writeFileSync(join(folder, `${part}.json`), JSON.stringify(report));
  const parts = parseRecording(readFileSync(recording, 'utf8'));
  const chosen = [...parts].sort(bySimilarity).find(([number]) => takePart(folder, number));
  if (chosen === undefined) {
    const departure = new DepartedError(0, undefined, `another thread of the program asked for a kernel, its number ${threadId}`);
    tell(`more-${process.pid}-${threadId}`, { departed: told(departure) });
    throw departure;
  }
  const [number, part] = chosen;
  const kernel = replayPart(part, { departed: (departure) => tell(number, { departed: told(departure) }), clocks: true });
  process.on('exit', () => {
    if (kernel.departure === undefined) tell(number, { left: kernel.left });
  });
  return kernel;
}

/** Which threads began first is not always the same: first those that have this one's number, and of these its program's. */
function bySimilarity([, one]: [number, Part], [, other]: [number, Part]): number {
  return similarity(other) - similarity(one);
}

function similarity({ beginning: { thread, program = [] } }: Part): number {
  const same = program.slice(1).join('\0') === programHere().slice(1).join('\0');
  return (thread === threadId ? 2 : 0) + (same ? 1 : 0);
}

/** The stack without the layers between the program and the recording. */
function told({ message, stack = '' }: DepartedError): NonNullable<ReplayReport['departed']> {
  const places = stack.split('\n').filter((line) => /^\s+at /.test(line) && !/[/\\](recording|kernel)[/\\][\w-]+\.[jt]s|node:/.test(line));
  return { message, stack: places.join('\n') };
}

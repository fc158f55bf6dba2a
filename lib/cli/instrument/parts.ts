import { closeSync, existsSync, openSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Takes a part of the recording for this thread; false if another process or thread has it. */
export function takePart(folder: string, part: number): boolean {
  try {
    closeSync(openSync(join(folder, String(part)), 'wx'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes the first that is free: which of the program's threads, in the order in which they asked for a kernel, this one is. */
export function takeNextPart(folder: string): number {
  let part = 1;
  while (!takePart(folder, part)) part += 1;
  return part;
}

/** Whether any thread of any process asked for a kernel. */
export function anyPartTaken(folder: string): boolean {
  return existsSync(join(folder, '1'));
}

/** What runs here, as a recording has it: the file's name, and the arguments. */
export function programHere(): string[] {
  const [, file = '', ...args] = process.argv;
  return [basename(file), ...args];
}

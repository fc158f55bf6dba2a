/** What the command ends with; the commands that run another end with its status. */
export const ok = 0;
/** It did not work, or `doctor` found something. */
export const failed = 1;
/** Wrong options or arguments: nothing was done. */
export const misused = 2;
/** It would hurt, and `--force` did not allow it: nothing was done. */
export const refused = 3;

/** A replayed program did not do what was recorded. */
export const departed = 4;
/** The program that was to be run is there, but is none; and it is not there. */
export const notRunnable = 126;
export const notFound = 127;

/** It says itself what the command ends with: one file of the command may be there twice, in the bundle and by itself, and so its classes. */
abstract class Ending extends Error {
  abstract readonly exitStatus: number;
}

/** It would hurt. */
export class Refusal extends Ending {
  override readonly name = 'Refusal';
  readonly exitStatus = refused;
}

/** An argument is not what it should be. */
export class Misuse extends Ending {
  override readonly name = 'Misuse';
  readonly exitStatus = misused;
}

/** What the command ends with for that error. */
export function statusOf(error: unknown): number {
  return (error as Partial<Ending> | null)?.exitStatus ?? failed;
}

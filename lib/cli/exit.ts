/** What the command ends with; the commands that run another end with its status. */
export const ok = 0;
/** It did not work, or `doctor` found something. */
export const failed = 1;
/** Wrong options or arguments: nothing was done. */
export const misused = 2;
/** It would hurt, and `--force` did not allow it: nothing was done. */
export const refused = 3;

/** What ends the command with another status than a failure's. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** An argument is not what it should be. */
export class Misuse extends Error {
  override readonly name = 'Misuse';
}

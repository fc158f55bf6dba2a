/** The error of that kind that an action throws. One of another kind, or none, fails the test. */
export function thrown<Kind extends Error>(kind: abstract new (...args: never[]) => Kind, action: () => unknown): Kind {
  try {
    action();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`Expected a ${kind.name}, and nothing was thrown`);
}

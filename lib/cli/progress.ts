import type { Terminal } from './context.js';

/** How far something is that takes long. */
export interface Progress {
  update(done: number): void;
  /** No sign of it is left. */
  stop(): void;
}

/** Shows a bar on standard error, where somebody looks at it. `total` is bytes. */
export async function showProgress({ interactive }: Terminal, what: string, total: number): Promise<Progress> {
  if (!interactive || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const { SingleBar } = (await import('cli-progress')).default;
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {eta_formatted} left`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(total, 0);
  return bar;
}

import { ClosedError } from './error.js';
import type { Kernel } from './kernel.js';

/**
 * The base of everything that can be closed. Resources form a tree: closing one closes what it owns first, newest
 * first. Closing twice is once, in any order. If a step fails the others are still done, and then the first failure is
 * thrown with the rest as its `cause`.
 */
export abstract class Resource {
  /** What it is called in errors: 'Device 0000:01:00.0'. */
  readonly label: string;
  readonly #children = new Set<Resource>();
  #owner: Resource | undefined;
  #closed = false;
  readonly #afterwards: (() => void)[] = [];

  constructor(label: string, owner?: Resource) {
    owner?.assertOpen();
    this.label = label;
    this.#owner = owner;
    if (owner !== undefined) owner.#children.add(this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** @throws ClosedError */
  assertOpen(): void {
    if (this.#closed) throw new ClosedError(this.label);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const owner = this.#owner;
    this.#owner = undefined;
    if (owner !== undefined) owner.#children.delete(this);
    finishAll([
      () => this.quiesce(),
      // Asked anew: quieting may have closed some.
      () => finishAll(this.children.reverse().map((child) => () => child.close())),
      () => this.release(),
      () => finishAll(this.#afterwards),
    ]);
  }

  /** Has something done when this is closed, after all else. */
  afterwards(step: () => void): void {
    this.#afterwards.push(step);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What it owns, oldest first. */
  protected get children(): Resource[] {
    return [...this.#children];
  }

  /** What must stop or be closed before the rest of what it owns. */
  protected quiesce(): void {}

  /** Frees what it holds itself, after everything it owns is closed. */
  protected abstract release(): void;
}

/** An open file that other things belong to: an `Iommufd`, or a `Container`. */
export interface OpenFile extends Resource {
  readonly kernel: Kernel;
  readonly fd: number;
}

/** Runs every step; then throws the first failure, if any, with the others as its `cause`. */
export function finishAll(steps: readonly (() => void)[]): void {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      step();
    } catch (failure) {
      failures.push(failure);
    }
  }
  const [first, ...others] = failures;
  if (failures.length === 0) return;
  if (first instanceof Error && others.length > 0) first.cause = others;
  throw first;
}

/** Registers what is closed, newest first, if opening the rest fails. */
type Undo = <R extends { close(): void }>(resource: R) => R;

/**
 * Opens several things or none: `open` registers each with `undo`; if it throws, what was registered is closed, newest
 * first, and the error goes on.
 */
export function together<T>(open: (undo: Undo) => T): T {
  const opened = new Opened();
  try {
    return open((resource) => opened.add(resource));
  } catch (error) {
    throw opened.closeAfter(error);
  }
}

/** The same of what takes time. */
export async function togetherAsync<T>(open: (undo: Undo) => Promise<T>): Promise<T> {
  const opened = new Opened();
  try {
    return await open((resource) => opened.add(resource));
  } catch (error) {
    throw opened.closeAfter(error);
  }
}

class Opened {
  readonly #resources: { close(): void }[] = [];

  add<R extends { close(): void }>(resource: R): R {
    this.#resources.push(resource);
    return resource;
  }

  /** Returns the error; what closing fails with is its cause, unless it has one. */
  closeAfter(error: unknown): unknown {
    try {
      finishAll(this.#resources.reverse().map((resource) => () => resource.close()));
    } catch (failure) {
      if (error instanceof Error) error.cause ??= failure;
    }
    return error;
  }
}

interface Event {
  readonly due: number;
  readonly action: () => void;
}

/**
 * When things happen in the machine. An event runs when its time has come and either the event loop turns or somebody
 * looks at the machine (`poll`): so a driver that spins on a register sees it change, as it would on hardware.
 */
export class Clock {
  #events: Event[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** Runs `action` after that much time. */
  after(milliseconds: number, action: () => void): void {
    this.#events.push({ due: performance.now() + milliseconds, action });
    this.#events.sort((a, b) => a.due - b.due);
    this.#arm();
  }

  /** Runs what is due. */
  poll(): void {
    for (;;) {
      const [first] = this.#events;
      if (first === undefined || first.due > performance.now()) break;
      this.#events.shift();
      first.action();
    }
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const [first] = this.#events;
    if (first === undefined) return;
    // Waiting for the machine is what keeps a process alive, not the machine itself.
    this.#timer = setTimeout(() => this.poll(), Math.max(0, first.due - performance.now())).unref();
  }
}

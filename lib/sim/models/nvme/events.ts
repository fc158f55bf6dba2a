/** What a controller tells the host of by itself, one asynchronous event request each. */
import { lastEventRequest } from './identify.js';
import type { SubmissionQueue } from './queues.js';

export const eventKinds = { error: 0, smart: 1 } as const;
export const errorEvents = { invalidDoorbell: 0, invalidDoorbellValue: 1 } as const;
export const temperatureEvent = 1;
export const logPages = { errors: 0x01, smart: 0x02, firmware: 0x03, changedNamespaces: 0x04, effects: 0x05 } as const;

/** Events that wait for a request; what comes then is lost. */
const mostWaiting = 64;

interface Event {
  readonly kind: number;
  readonly information: number;
  readonly log: number;
}

/** A request that is open. */
export interface EventRequest {
  readonly queue: SubmissionQueue;
  readonly identifier: number;
}

export class Events {
  readonly #requests: EventRequest[] = [];
  #waiting: Event[] = [];
  /** Kinds that were told of, until the host has read their log. */
  readonly #masked = new Set<number>();
  readonly #complete: (request: EventRequest, result: number) => void;

  constructor(complete: (request: EventRequest, result: number) => void) {
    this.#complete = complete;
  }

  get requested(): boolean {
    return this.#requests.length > 0;
  }

  /** False: there are as many requests open as may be. */
  request(request: EventRequest): boolean {
    if (this.#requests.length > lastEventRequest) return false;
    this.#requests.push(request);
    this.#deliver();
    return true;
  }

  add(event: Event): void {
    if (this.#waiting.length === mostWaiting) return;
    this.#waiting.push(event);
    this.#deliver();
  }

  /** The host has read the log of a kind of event. */
  read(kind: number): void {
    this.#masked.delete(kind);
    this.#deliver();
  }

  reset(): void {
    this.#requests.length = 0;
    this.#waiting = [];
    this.#masked.clear();
  }

  #deliver(): void {
    this.#waiting = this.#waiting.filter((event) => {
      if (this.#requests.length === 0 || this.#masked.has(event.kind)) return true;
      this.#masked.add(event.kind);
      this.#complete(this.#requests.pop()!, event.kind | (event.information << 8) | (event.log << 16));
      return false;
    });
  }
}

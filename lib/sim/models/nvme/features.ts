/** Get Features and Set Features (NVM Express 1.4, sections 5.14 and 5.21). */
import { everyNamespace, type Command } from './command.js';
import { temperatureWarning } from './identify.js';
import { lastNamespaceId, namespaceId } from './namespace.js';
import { status } from './status.js';

const ids = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVector: 0x09,
  writeAtomicity: 0x0a,
  eventConfiguration: 0x0b,
  timestamp: 0x0e,
  hostBehavior: 0x16,
  commandSetProfile: 0x19,
} as const;

const known: ReadonlySet<number> = new Set(Object.values(ids));
const changeable: ReadonlySet<number> = new Set([
  ...[ids.temperatureThreshold, ids.errorRecovery, ids.volatileWriteCache, ids.numberOfQueues],
  ...[ids.eventConfiguration, ids.timestamp, ids.hostBehavior, ids.commandSetProfile],
]);

/** What can be done with a feature, as Get Features answers. */
const ofNamespace = 1 << 1;
const canChange = 1 << 2;
/** What Get Features is asked for: of the values, the current one otherwise. */
const [defaultValue, savedValue, capabilities] = [1, 2, 3];

const noBurstLimit = 7;
const noCoalescing = 1 << 16;
const notAllowed = 0xffff;
const hostBehaviorSize = 512;
/** Kelvin. */
export const temperature = 0x143;

/** What of the controller the features are about. */
export interface FeatureHost {
  readonly queuePairs: number;
  /** An I/O completion queue was created since the last reset. */
  readonly queuesCreated: boolean;
  /** Milliseconds of the machine's time. */
  now(): number;
  send(bytes: Uint8Array): number;
  receive(bytes: Uint8Array): number;
  /** The temperature is beyond a threshold that was set just now. */
  temperatureEvent(): void;
}

/** A status, and dword 0 of the completion. */
export interface Answer {
  readonly status: number;
  readonly result: number;
}

function answer(result: number): Answer {
  return { status: status.success, result };
}

function refuse(reason: number): Answer {
  return { status: reason, result: 0 };
}

export class Features {
  /** Which of SMART's warnings and other changes are told of. */
  eventConfiguration = 0;
  #highTemperature = temperatureWarning;
  #lowTemperature = 0;
  #errorRecovery = 0;
  #writeCache = true;
  readonly #hostBehavior = new Uint8Array(hostBehaviorSize);
  #timestamp = { value: 0n, since: 0 };

  /** The temperature is beyond a threshold. */
  get tooHotOrCold(): boolean {
    return temperature >= this.#highTemperature || temperature <= this.#lowTemperature;
  }

  /** The controller was enabled. */
  restartTimestamp(now: number): void {
    this.#timestamp = { value: 0n, since: now };
  }

  get(command: Command, host: FeatureHost): Answer {
    const [id, select, argument] = [command.word(10) & 0xff, (command.word(10) >>> 8) & 7, command.word(11)];
    if (!known.has(id)) return refuse(status.invalidField);
    if (id === ids.errorRecovery) {
      const { namespace } = command;
      if (namespace === 0 || namespace > lastNamespaceId) return refuse(status.invalidNamespace);
      if (namespace !== namespaceId) return refuse(status.invalidField);
    }
    if (select === capabilities) return answer((changeable.has(id) ? canChange : 0) | (id === ids.errorRecovery ? ofNamespace : 0));
    if (select !== defaultValue && select !== savedValue) {
      const current = this.#current(id, argument, host);
      if (current !== undefined) return current;
    }
    return this.#default(id, argument, host);
  }

  #current(id: number, argument: number, host: FeatureHost): Answer | undefined {
    switch (id) {
      case ids.temperatureThreshold:
        if (((argument >>> 16) & 0xf) !== 0) return answer(0);
        switch ((argument >>> 20) & 3) {
          case 0:
            return answer(this.#highTemperature);
          case 1:
            return answer(this.#lowTemperature);
          default:
            return refuse(status.invalidField);
        }
      case ids.errorRecovery:
        return answer(this.#errorRecovery);
      case ids.volatileWriteCache:
        return answer(this.#writeCache ? 1 : 0);
      case ids.eventConfiguration:
        return answer(this.eventConfiguration);
      case ids.timestamp:
        return { status: host.send(this.#timestampBytes(host.now())), result: 0 };
      case ids.hostBehavior:
        return { status: host.send(this.#hostBehavior), result: 0 };
      default:
        return undefined;
    }
  }

  #default(id: number, argument: number, { queuePairs }: FeatureHost): Answer {
    switch (id) {
      case ids.arbitration:
        return answer(noBurstLimit);
      case ids.temperatureThreshold:
        return answer(((argument >>> 16) & 0x3f) === 0 ? temperatureWarning : 0);
      case ids.numberOfQueues:
        return answer((queuePairs - 1) | ((queuePairs - 1) << 16));
      case ids.interruptVector: {
        const vector = argument & 0xffff;
        if (vector > queuePairs) return refuse(status.invalidField);
        return answer(vector | (vector === 0 ? noCoalescing : 0));
      }
      default:
        return answer(0);
    }
  }

  set(command: Command, host: FeatureHost): Answer {
    const [id, argument] = [command.word(10) & 0xff, command.word(11)];
    const { namespace } = command;
    if (command.word(10) >>> 31 !== 0) return refuse(status.featureNotSaveable);
    if (!known.has(id)) return refuse(status.invalidField);
    if (namespace !== everyNamespace && (namespace !== 0 || id === ids.errorRecovery)) {
      if (namespace === 0 || namespace > lastNamespaceId) return refuse(status.invalidNamespace);
      if (id !== ids.errorRecovery) return refuse(status.featureNotOfNamespace);
      if (namespace !== namespaceId) return refuse(status.invalidField);
    }
    if (!changeable.has(id)) return refuse(status.featureNotChangeable);
    return this.#set(id, argument, host);
  }

  #set(id: number, argument: number, host: FeatureHost): Answer {
    switch (id) {
      case ids.temperatureThreshold:
        return this.#setThreshold(argument, host);
      case ids.errorRecovery:
        this.#errorRecovery = argument;
        return answer(0);
      case ids.volatileWriteCache:
        this.#writeCache = (argument & 1) !== 0;
        return answer(0);
      case ids.numberOfQueues:
        if (host.queuesCreated) return refuse(status.commandSequence);
        if ((argument & 0xffff) === notAllowed || argument >>> 16 === notAllowed) return refuse(status.invalidField);
        return answer((host.queuePairs - 1) | ((host.queuePairs - 1) << 16));
      case ids.eventConfiguration:
        this.eventConfiguration = argument;
        return answer(0);
      case ids.timestamp: {
        const bytes = new Uint8Array(8);
        const received = host.receive(bytes);
        if (received === status.success) this.#timestamp = { value: new DataView(bytes.buffer).getBigUint64(0, true), since: host.now() };
        return { status: received, result: 0 };
      }
      case ids.hostBehavior:
        return { status: host.receive(this.#hostBehavior), result: 0 };
      default:
        return (argument & 0x1ff) === 0 ? answer(0) : refuse(status.commandSetRejected);
    }
  }

  #setThreshold(argument: number, host: FeatureHost): Answer {
    if (((argument >>> 16) & 0xf) !== 0) return answer(0);
    const side = (argument >>> 20) & 3;
    if (side > 1) return refuse(status.invalidField);
    if (side === 0) this.#highTemperature = argument & 0xffff;
    else this.#lowTemperature = argument & 0xffff;
    if (this.tooHotOrCold) host.temperatureEvent();
    return answer(0);
  }

  /** Milliseconds in 48 bits, and whether the host has set them. */
  #timestampBytes(now: number): Uint8Array {
    const bytes = new Uint8Array(8);
    const { value, since } = this.#timestamp;
    const milliseconds = BigInt.asUintN(48, value + BigInt(Math.floor(now - since)));
    new DataView(bytes.buffer).setBigUint64(0, milliseconds | (value === 0n ? 0n : 1n << 49n), true);
    return bytes;
  }
}

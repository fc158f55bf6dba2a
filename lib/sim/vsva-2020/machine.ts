import { FaultChannel } from './fault-channel.js';
import { PasidAllocator } from './pasids.js';

/** What the proposal of 2020 adds to a machine, whoever uses it. */
export class Vsva2020 {
  readonly pasids = new PasidAllocator();
  readonly #channels = new Map<string, FaultChannel>();

  /** The faults of the device at that address. */
  channel(device: string): FaultChannel {
    const channel = this.#channels.get(device) ?? new FaultChannel();
    this.#channels.set(device, channel);
    return channel;
  }

  get channels(): Iterable<FaultChannel> {
    return this.#channels.values();
  }
}

/** Low power, as a device feature: the device may sleep until something asks for it. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FEATURE_SET, vfio_device_low_power_entry_with_wakeup } from '../../abi/vfio/feature.js';
import type { Eventfd } from '../eventfd.js';
import type { FeatureRequest } from '../features.js';
import { holdEventfd } from '../irq-set.js';
import type { FdTable } from '../open-file.js';

export class Power {
  /** The user let it sleep. */
  #allowed = false;
  #wakeup: Eventfd | undefined;
  readonly #entered: () => void;

  /** `entered` is called each time it is let sleep. */
  constructor(entered: () => void) {
    this.#entered = entered;
  }

  /** It may sleep now, and its memory does not answer. */
  get allowed(): boolean {
    return this.#allowed;
  }

  enter(request: FeatureRequest): number {
    const checked = request.check(VFIO_DEVICE_FEATURE_SET, 0);
    return checked === 1 ? this.#allow(undefined) : checked;
  }

  enterWithWakeup(request: FeatureRequest, fds: FdTable): number {
    const checked = request.check(VFIO_DEVICE_FEATURE_SET, vfio_device_low_power_entry_with_wakeup.size);
    if (checked !== 1) return checked;
    const entry = request.payload(vfio_device_low_power_entry_with_wakeup);
    if (entry === undefined) return -errno.EFAULT;
    if (entry.wakeup_eventfd < 0) return -errno.EINVAL;
    const eventfd = holdEventfd(fds, entry.wakeup_eventfd);
    if (typeof eventfd === 'number') return eventfd;
    const result = this.#allow(eventfd);
    if (result !== 0) eventfd.drop();
    return result;
  }

  exit(request: FeatureRequest): number {
    const checked = request.check(VFIO_DEVICE_FEATURE_SET, 0);
    if (checked === 1) this.release();
    return checked === 1 ? 0 : checked;
  }

  /** Any request or access wakes it. One that sleeps with an eventfd tells, and stays awake. */
  wake(): void {
    if (this.#wakeup === undefined) return;
    this.#wakeup.signal();
    this.release();
  }

  release(): void {
    this.#allowed = false;
    this.#wakeup?.drop();
    this.#wakeup = undefined;
  }

  #allow(wakeup: Eventfd | undefined): number {
    if (this.#allowed) return -errno.EINVAL;
    this.#allowed = true;
    this.#entered();
    this.#wakeup = wakeup;
    return 0;
  }
}

/**
 * Enhanced error handling of POWER machines: hardware that, at an error, cuts a device off from memory and processor
 * until somebody has looked. The rules are those of the kernel's arch/powerpc/kernel/eeh.c on a platform that reports an
 * asserted reset. Tested on the simulated kernel only: the lab has no POWER machine.
 */
import { EEH_ERR_FUNC_DMA_WR_TARGET as lastErrorFunction, EEH_ERR_TYPE_32, EEH_ERR_TYPE_64 } from '../../abi/eeh.js';
import { errno } from '../../abi/errno.js';
import {
  VFIO_EEH_PE_CONFIGURE,
  VFIO_EEH_PE_DISABLE,
  VFIO_EEH_PE_ENABLE,
  VFIO_EEH_PE_GET_STATE,
  VFIO_EEH_PE_INJECT_ERR,
  VFIO_EEH_PE_OP,
  VFIO_EEH_PE_RESET_DEACTIVATE,
  VFIO_EEH_PE_RESET_FUNDAMENTAL,
  VFIO_EEH_PE_RESET_HOT,
  VFIO_EEH_PE_STATE_NORMAL,
  VFIO_EEH_PE_STATE_RESET,
  VFIO_EEH_PE_STATE_STOPPED,
  VFIO_EEH_PE_STATE_STOPPED_DMA,
  VFIO_EEH_PE_STATE_UNAVAIL,
  VFIO_EEH_PE_UNFREEZE_DMA,
  VFIO_EEH_PE_UNFREEZE_IO,
  vfio_eeh_pe_op,
} from '../../abi/vfio/spapr.js';
import type { Argument } from '../argument.js';

/** What the hardware isolates together, a partitionable endpoint: on these machines, an IOMMU group. */
export class Endpoint {
  #registersFrozen = false;
  #dmaFrozen = false;
  #inReset = false;
  readonly #resetDevices: () => void;

  constructor(resetDevices: () => void) {
    this.#resetDevices = resetDevices;
  }

  /** The devices' accesses to memory, their message-signalled interrupts among them, go nowhere. */
  get dmaStopped(): boolean {
    return this.#dmaFrozen || this.#inReset;
  }

  /** The processor's loads from the devices answer all ones, and its stores go nowhere. */
  get registersStopped(): boolean {
    return this.#registersFrozen || this.#inReset;
  }

  freeze(): void {
    this.#registersFrozen = true;
    this.#dmaFrozen = true;
  }

  /** eeh_pe_change_owner: whoever takes the devices takes them thawed. 0 or -errno. */
  takeOver(): number {
    return this.unfreezeRegisters() || this.unfreezeDma();
  }

  /** eeh_pci_enable: during a reset there is nothing to enable. 0 or -errno. */
  unfreezeRegisters(): number {
    if (this.#inReset) return -errno.EIO;
    this.#registersFrozen = false;
    return 0;
  }

  unfreezeDma(): number {
    if (this.#inReset) return -errno.EIO;
    this.#dmaFrozen = false;
    return 0;
  }

  assertReset(): number {
    this.freeze();
    this.#inReset = true;
    this.#resetDevices();
    return 0;
  }

  deassertReset(): number {
    this.#inReset = false;
    return this.takeOver();
  }

  /** eeh_pe_get_state. Registers frozen alone has no name of its own. */
  get state(): number {
    if (this.#inReset) return VFIO_EEH_PE_STATE_RESET;
    if (this.#dmaFrozen) return this.#registersFrozen ? VFIO_EEH_PE_STATE_STOPPED : VFIO_EEH_PE_STATE_STOPPED_DMA;
    return this.#registersFrozen ? VFIO_EEH_PE_STATE_UNAVAIL : VFIO_EEH_PE_STATE_NORMAL;
  }
}

/** VFIO_EEH_PE_OP for one group. */
export function endpointOperation(endpoint: Endpoint, argument: Argument): number {
  const { minimum } = VFIO_EEH_PE_OP;
  const given = argument.struct(vfio_eeh_pe_op, minimum);
  if (given === undefined) return -errno.EFAULT;
  if (given.argsz < minimum || given.flags !== 0) return -errno.EINVAL;
  switch (given.op) {
    case VFIO_EEH_PE_DISABLE:
      // The kernel says yes and does nothing: the hardware cannot do without for one endpoint.
      return 0;
    case VFIO_EEH_PE_ENABLE:
      return endpoint.takeOver();
    case VFIO_EEH_PE_UNFREEZE_IO:
      return endpoint.unfreezeRegisters();
    case VFIO_EEH_PE_UNFREEZE_DMA:
      return endpoint.unfreezeDma();
    case VFIO_EEH_PE_GET_STATE:
      return endpoint.state;
    case VFIO_EEH_PE_RESET_DEACTIVATE:
      return endpoint.deassertReset();
    case VFIO_EEH_PE_RESET_HOT:
    case VFIO_EEH_PE_RESET_FUNDAMENTAL:
      return endpoint.assertReset();
    case VFIO_EEH_PE_CONFIGURE:
      // Restores the bridges inside the endpoint; these have none.
      return 0;
    case VFIO_EEH_PE_INJECT_ERR:
      return injectError(endpoint, argument, given.argsz);
    default:
      return -errno.EINVAL;
  }
}

/** Hardware waits for the first access that the error fits; here it happens at once. */
function injectError(endpoint: Endpoint, argument: Argument, argsz: number): number {
  const minimum = vfio_eeh_pe_op.offsetofend('err');
  if (argsz < minimum) return -errno.EINVAL;
  const given = argument.struct(vfio_eeh_pe_op, minimum);
  if (given === undefined) return -errno.EFAULT;
  const { type, func } = given.err;
  if (func > lastErrorFunction) return -errno.EINVAL;
  if (type !== EEH_ERR_TYPE_32 && type !== EEH_ERR_TYPE_64) return -errno.ERANGE;
  endpoint.freeze();
  return 0;
}

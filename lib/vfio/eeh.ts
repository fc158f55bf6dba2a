import {
  EEH_ERR_FUNC_DMA_RD_ADDR,
  EEH_ERR_FUNC_DMA_RD_DATA,
  EEH_ERR_FUNC_DMA_RD_MASTER,
  EEH_ERR_FUNC_DMA_RD_TARGET,
  EEH_ERR_FUNC_DMA_WR_ADDR,
  EEH_ERR_FUNC_DMA_WR_DATA,
  EEH_ERR_FUNC_DMA_WR_MASTER,
  EEH_ERR_FUNC_DMA_WR_TARGET,
  EEH_ERR_FUNC_LD_CFG_ADDR,
  EEH_ERR_FUNC_LD_CFG_DATA,
  EEH_ERR_FUNC_LD_IO_ADDR,
  EEH_ERR_FUNC_LD_IO_DATA,
  EEH_ERR_FUNC_LD_MEM_ADDR,
  EEH_ERR_FUNC_LD_MEM_DATA,
  EEH_ERR_FUNC_ST_CFG_ADDR,
  EEH_ERR_FUNC_ST_CFG_DATA,
  EEH_ERR_FUNC_ST_IO_ADDR,
  EEH_ERR_FUNC_ST_IO_DATA,
  EEH_ERR_FUNC_ST_MEM_ADDR,
  EEH_ERR_FUNC_ST_MEM_DATA,
  EEH_ERR_TYPE_32,
  EEH_ERR_TYPE_64,
} from '../abi/eeh.js';
import { BadAnswerError } from '../abi/chain.js';
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
} from '../abi/vfio/spapr.js';
import { checked64, expected } from '../kernel/error.js';
import type { Container } from './container.js';

const states = {
  [VFIO_EEH_PE_STATE_NORMAL]: 'normal',
  [VFIO_EEH_PE_STATE_RESET]: 'reset',
  [VFIO_EEH_PE_STATE_STOPPED]: 'stopped',
  [VFIO_EEH_PE_STATE_STOPPED_DMA]: 'dma-stopped',
  [VFIO_EEH_PE_STATE_UNAVAIL]: 'unavailable',
} as const;

/**
 * 'normal'; 'reset': a reset is asserted; 'stopped': frozen after an error, neither registers nor DMA work;
 * 'dma-stopped': registers work, DMA does not; 'unavailable': the host is busy with it.
 *
 * @useDeclaredType
 */
export type EehState = (typeof states)[keyof typeof states];

const resets = {
  hot: VFIO_EEH_PE_RESET_HOT,
  fundamental: VFIO_EEH_PE_RESET_FUNDAMENTAL,
  deactivate: VFIO_EEH_PE_RESET_DEACTIVATE,
} as const;

/** 'hot' and 'fundamental' assert a reset; 'deactivate' ends it. @useDeclaredType */
export type EehReset = keyof typeof resets;

const errors = {
  'load-memory-address': EEH_ERR_FUNC_LD_MEM_ADDR,
  'load-memory-data': EEH_ERR_FUNC_LD_MEM_DATA,
  'load-io-address': EEH_ERR_FUNC_LD_IO_ADDR,
  'load-io-data': EEH_ERR_FUNC_LD_IO_DATA,
  'load-config-address': EEH_ERR_FUNC_LD_CFG_ADDR,
  'load-config-data': EEH_ERR_FUNC_LD_CFG_DATA,
  'store-memory-address': EEH_ERR_FUNC_ST_MEM_ADDR,
  'store-memory-data': EEH_ERR_FUNC_ST_MEM_DATA,
  'store-io-address': EEH_ERR_FUNC_ST_IO_ADDR,
  'store-io-data': EEH_ERR_FUNC_ST_IO_DATA,
  'store-config-address': EEH_ERR_FUNC_ST_CFG_ADDR,
  'store-config-data': EEH_ERR_FUNC_ST_CFG_DATA,
  'dma-read-address': EEH_ERR_FUNC_DMA_RD_ADDR,
  'dma-read-data': EEH_ERR_FUNC_DMA_RD_DATA,
  'dma-read-master': EEH_ERR_FUNC_DMA_RD_MASTER,
  'dma-read-target': EEH_ERR_FUNC_DMA_RD_TARGET,
  'dma-write-address': EEH_ERR_FUNC_DMA_WR_ADDR,
  'dma-write-data': EEH_ERR_FUNC_DMA_WR_DATA,
  'dma-write-master': EEH_ERR_FUNC_DMA_WR_MASTER,
  'dma-write-target': EEH_ERR_FUNC_DMA_WR_TARGET,
} as const;

/** Whose access fails (the processor's load or store, the device's DMA), where, and in which part. @useDeclaredType */
export type EehError = keyof typeof errors;

export interface InjectOptions {
  readonly error: EehError;
  /** The width of the bus cycle. Default: 32. */
  readonly bits?: 32 | 64;
  /** The address whose access fails, on the PCI bus. Default: 0, with a mask of 0: one of the platform's choice. */
  readonly address?: bigint;
  /** Which bits of `address` count. Default: 0. */
  readonly mask?: bigint;
}

/**
 * Enhanced error handling of POWER machines: after an error the hardware cuts the devices of a group off (it freezes
 * their partitionable endpoint), until their driver has recovered them. Each method works on all groups of the
 * container, and stops at the first that refuses. Linux 3.18. Tested on the simulated kernel only.
 *
 * A recovery: `unfreezeIo()` to look at registers, then `reset('hot')`, a wait of what PCI asks for, `reset('deactivate')`,
 * `configure()`, and the device's own initialisation.
 */
export class Eeh {
  readonly #container: Container;
  readonly #operation = vfio_eeh_pe_op.create();

  constructor(container: Container) {
    this.#container = container;
  }

  /** VFIO_EEH_PE_ENABLE. Thaws what is frozen. @throws KernelError EIO during a reset. */
  enable(): void {
    this.#operate(VFIO_EEH_PE_ENABLE);
  }

  /** VFIO_EEH_PE_DISABLE. The kernel accepts it and does nothing: no endpoint can be without. */
  disable(): void {
    this.#operate(VFIO_EEH_PE_DISABLE);
  }

  /** VFIO_EEH_PE_UNFREEZE_IO: registers answer again. @throws KernelError EIO during a reset. */
  unfreezeIo(): void {
    this.#operate(VFIO_EEH_PE_UNFREEZE_IO);
  }

  /** VFIO_EEH_PE_UNFREEZE_DMA: DMA passes again. @throws KernelError EIO during a reset. */
  unfreezeDma(): void {
    this.#operate(VFIO_EEH_PE_UNFREEZE_DMA);
  }

  /** VFIO_EEH_PE_GET_STATE. With several groups, the first state that is not 'normal'. */
  state(): EehState {
    const number = this.#operate(VFIO_EEH_PE_GET_STATE);
    if (!Object.hasOwn(states, number)) throw new BadAnswerError(`VFIO_EEH_PE_GET_STATE answered ${number}`, this.#operation.bytes);
    return states[number as keyof typeof states];
  }

  /** VFIO_EEH_PE_RESET_HOT, _FUNDAMENTAL and _DEACTIVATE. Asserting a reset also freezes; ending one also thaws. */
  reset(kind: EehReset): void {
    if (!Object.hasOwn(resets, kind)) throw expected(`one of ${Object.keys(resets).join(', ')}`, 'kind', kind);
    this.#operate(resets[kind]);
  }

  /** VFIO_EEH_PE_CONFIGURE: restores the bridges above the devices after a reset. */
  configure(): void {
    this.#operate(VFIO_EEH_PE_CONFIGURE);
  }

  /**
   * VFIO_EEH_PE_INJECT_ERR: lets an access fail, for tests of a driver's recovery. Linux 4.1.
   * @throws KernelError ENXIO where the firmware cannot; EIO where it did not take the address.
   */
  injectError({ error, bits = 32, address = 0n, mask = 0n }: InjectOptions): void {
    if (!Object.hasOwn(errors, error)) throw expected(`one of ${Object.keys(errors).join(', ')}`, 'error', error);
    if (bits !== 32 && bits !== 64) throw expected('32 or 64', 'bits', bits);
    const { err } = this.#operation;
    err.type = bits === 32 ? EEH_ERR_TYPE_32 : EEH_ERR_TYPE_64;
    err.func = errors[error];
    err.addr = checked64('address', address);
    err.mask = checked64('mask', mask);
    this.#operate(VFIO_EEH_PE_INJECT_ERR);
  }

  #operate(op: number): number {
    this.#operation.argsz = vfio_eeh_pe_op.size;
    this.#operation.flags = 0;
    this.#operation.op = op;
    return this.#container.ioctl(VFIO_EEH_PE_OP, this.#operation.bytes);
  }
}

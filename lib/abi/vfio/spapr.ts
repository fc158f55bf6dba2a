/** linux/vfio.h: the requests of a container whose IOMMU is that of POWER servers (sPAPR), and of their error handling. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, flags, iova, reserved, struct, u32, u64 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Version 1: lets memory be mapped, and accounts for a whole window of locked memory. Linux 3.11. */
export const VFIO_IOMMU_ENABLE = request('VFIO_IOMMU_ENABLE', _IO(VFIO_TYPE, VFIO_BASE + 15), { on: 'container', argument: 'none' });

/** Version 1: takes `VFIO_IOMMU_ENABLE` back. Linux 3.11. */
export const VFIO_IOMMU_DISABLE = request('VFIO_IOMMU_DISABLE', _IO(VFIO_TYPE, VFIO_BASE + 16), { on: 'container', argument: 'none' });

/** Dynamic windows. `pgsizes` is a bitmap of page sizes in bytes, `levels` the most a table can have. Linux 4.2. */
export const vfio_iommu_spapr_tce_ddw_info = struct('vfio_iommu_spapr_tce_ddw_info', {
  pgsizes: u64,
  max_dynamic_windows_supported: u32,
  levels: u32,
});

/** Start and size are those of the window every group has, in bytes. `ddw` is there for a caller whose argsz covers it. */
export const vfio_iommu_spapr_tce_info = struct('vfio_iommu_spapr_tce_info', {
  argsz,
  flags: flags('VFIO_IOMMU_SPAPR_INFO_'),
  dma32_window_start: u32,
  dma32_window_size: u32,
  ddw: vfio_iommu_spapr_tce_ddw_info,
});

/** `ddw` is valid. */
export const VFIO_IOMMU_SPAPR_INFO_DDW = 1 << 0;

/** Linux 3.11; the longer form 4.2. */
export const VFIO_IOMMU_SPAPR_TCE_GET_INFO = request('VFIO_IOMMU_SPAPR_TCE_GET_INFO', _IO(VFIO_TYPE, VFIO_BASE + 12), {
  on: 'container',
  argument: vfio_iommu_spapr_tce_info,
  minimum: 'dma32_window_size',
});

/** An error to inject: `type` and `func` are those of asm/eeh.h. Linux 4.1. */
export const vfio_eeh_pe_err = struct('vfio_eeh_pe_err', {
  type: u32,
  func: u32,
  addr: u64,
  mask: u64,
});

/** `op` is one of VFIO_EEH_PE_DISABLE to VFIO_EEH_PE_INJECT_ERR; only the last looks at `err`. */
export const vfio_eeh_pe_op = struct('vfio_eeh_pe_op', {
  argsz,
  flags: u32,
  op: u32,
  err: vfio_eeh_pe_err,
});

export const VFIO_EEH_PE_DISABLE = 0;
export const VFIO_EEH_PE_ENABLE = 1;
export const VFIO_EEH_PE_UNFREEZE_IO = 2;
export const VFIO_EEH_PE_UNFREEZE_DMA = 3;
/** The result is one of VFIO_EEH_PE_STATE_*. */
export const VFIO_EEH_PE_GET_STATE = 4;
export const VFIO_EEH_PE_STATE_NORMAL = 0;
export const VFIO_EEH_PE_STATE_RESET = 1;
/** Neither DMA nor registers. */
export const VFIO_EEH_PE_STATE_STOPPED = 2;
/** Registers, and no DMA. */
export const VFIO_EEH_PE_STATE_STOPPED_DMA = 4;
export const VFIO_EEH_PE_STATE_UNAVAIL = 5;
export const VFIO_EEH_PE_RESET_DEACTIVATE = 5;
export const VFIO_EEH_PE_RESET_HOT = 6;
export const VFIO_EEH_PE_RESET_FUNDAMENTAL = 7;
export const VFIO_EEH_PE_CONFIGURE = 8;
/** Linux 4.1. */
export const VFIO_EEH_PE_INJECT_ERR = 9;

/** Works on the devices the platform isolates together (a partitionable endpoint), of every group in the container. Linux 3.18. */
export const VFIO_EEH_PE_OP = request('VFIO_EEH_PE_OP', _IO(VFIO_TYPE, VFIO_BASE + 21), {
  on: 'container',
  argument: vfio_eeh_pe_op,
  minimum: 'op',
});

/** `size` is in bytes. No flag is defined. */
export const vfio_iommu_spapr_register_memory = struct('vfio_iommu_spapr_register_memory', {
  argsz,
  flags: u32,
  vaddr: address,
  size: u64,
});

/** Version 2: pins memory, which then can be mapped. Linux 4.2. */
export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY = request('VFIO_IOMMU_SPAPR_REGISTER_MEMORY', _IO(VFIO_TYPE, VFIO_BASE + 17), {
  on: 'container',
  argument: vfio_iommu_spapr_register_memory,
  minimum: 'size',
});

/** Version 2: the very range that was registered. Linux 4.2. */
export const VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = request('VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY', _IO(VFIO_TYPE, VFIO_BASE + 18), {
  on: 'container',
  argument: vfio_iommu_spapr_register_memory,
  minimum: 'size',
});

/** `window_size` is in bytes. `start_addr` comes back: where the platform put the window. No flag is defined. */
export const vfio_iommu_spapr_tce_create = struct('vfio_iommu_spapr_tce_create', {
  argsz,
  flags: u32,
  page_shift: u32,
  __resv1: reserved,
  window_size: u64,
  levels: u32,
  __resv2: reserved,
  start_addr: iova,
});

/** Version 2: a new window. Linux 4.2. */
export const VFIO_IOMMU_SPAPR_TCE_CREATE = request('VFIO_IOMMU_SPAPR_TCE_CREATE', _IO(VFIO_TYPE, VFIO_BASE + 19), {
  on: 'container',
  argument: vfio_iommu_spapr_tce_create,
  minimum: 'start_addr',
});

/** `start_addr` is any address in the window. No flag is defined. */
export const vfio_iommu_spapr_tce_remove = struct('vfio_iommu_spapr_tce_remove', {
  argsz,
  flags: u32,
  start_addr: iova,
});

/** Version 2: removes a window with what is mapped in it. Linux 4.2. */
export const VFIO_IOMMU_SPAPR_TCE_REMOVE = request('VFIO_IOMMU_SPAPR_TCE_REMOVE', _IO(VFIO_TYPE, VFIO_BASE + 20), {
  on: 'container',
  argument: vfio_iommu_spapr_tce_remove,
  minimum: 'start_addr',
});

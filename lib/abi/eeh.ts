/**
 * asm/eeh.h of powerpc: what VFIO_EEH_PE_INJECT_ERR can inject. Not among what `vfio/abi` exports, because no header of
 * other processors has it to be checked against.
 */

/** 32-bit and 64-bit errors of the bus. */
export const EEH_ERR_TYPE_32 = 0;
export const EEH_ERR_TYPE_64 = 1;

/** LD is a load by the processor, ST a store; ADDR a parity error of the address, DATA of the data. */
export const EEH_ERR_FUNC_LD_MEM_ADDR = 0;
export const EEH_ERR_FUNC_LD_MEM_DATA = 1;
export const EEH_ERR_FUNC_LD_IO_ADDR = 2;
export const EEH_ERR_FUNC_LD_IO_DATA = 3;
export const EEH_ERR_FUNC_LD_CFG_ADDR = 4;
export const EEH_ERR_FUNC_LD_CFG_DATA = 5;
export const EEH_ERR_FUNC_ST_MEM_ADDR = 6;
export const EEH_ERR_FUNC_ST_MEM_DATA = 7;
export const EEH_ERR_FUNC_ST_IO_ADDR = 8;
export const EEH_ERR_FUNC_ST_IO_DATA = 9;
export const EEH_ERR_FUNC_ST_CFG_ADDR = 10;
export const EEH_ERR_FUNC_ST_CFG_DATA = 11;
export const EEH_ERR_FUNC_DMA_RD_ADDR = 12;
export const EEH_ERR_FUNC_DMA_RD_DATA = 13;
export const EEH_ERR_FUNC_DMA_RD_MASTER = 14;
export const EEH_ERR_FUNC_DMA_RD_TARGET = 15;
export const EEH_ERR_FUNC_DMA_WR_ADDR = 16;
export const EEH_ERR_FUNC_DMA_WR_DATA = 17;
export const EEH_ERR_FUNC_DMA_WR_MASTER = 18;
export const EEH_ERR_FUNC_DMA_WR_TARGET = 19;

/** linux/vfio_ccw.h: the regions of a channel device on s390, and the indexes of its regions and interrupts. */
import { array, struct, u32, u8 } from '../struct.js';

export const VFIO_CCW_CONFIG_REGION_INDEX = 0;
export const VFIO_CCW_NUM_REGIONS = 1;

export const VFIO_CCW_IO_IRQ_INDEX = 0;
export const VFIO_CCW_CRW_IRQ_INDEX = 1;
export const VFIO_CCW_REQ_IRQ_INDEX = 2;
export const VFIO_CCW_NUM_IRQS = 3;

/** The crypto adapters of s390, vfio-ap, have interrupts and no region. */
export const VFIO_AP_REQ_IRQ_INDEX = 0;
export const VFIO_AP_CFG_CHG_IRQ_INDEX = 1;
export const VFIO_AP_NUM_IRQS = 2;

/** The region every device has: a channel program goes in, its outcome comes out. */
export const ccw_io_region = struct('ccw_io_region', {
  orb_area: array(u8, 12),
  scsw_area: array(u8, 12),
  irb_area: array(u8, 96),
  ret_code: u32,
});

export const VFIO_CCW_ASYNC_CMD_HSCH = 1 << 0;
export const VFIO_CCW_ASYNC_CMD_CSCH = 1 << 1;

/** VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD. */
export const ccw_cmd_region = struct('ccw_cmd_region', {
  command: u32,
  ret_code: u32,
});

/** VFIO_REGION_SUBTYPE_CCW_SCHIB. */
export const ccw_schib_region = struct('ccw_schib_region', {
  schib_area: array(u8, 52),
});

/** VFIO_REGION_SUBTYPE_CCW_CRW. */
export const ccw_crw_region = struct('ccw_crw_region', {
  crw: u32,
  pad: u32,
});

/** The registers, commands and completions of NVM Express 1.4, as the specification names them; BAR 0. */
import { struct, u16, u32, u64, u8, volatile } from 'vfio/abi';
import { bit, bits, reg32, reg64, registers } from 'vfio/driver';

export const layout = registers({
  CAP: reg64(0x00, { MQES: bits(0, 16), TO: bits(24, 8), DSTRD: bits(32, 4), MPSMIN: bits(48, 4) }),
  VS: reg32(0x08, { MJR: bits(16, 16), MNR: bits(8, 8) }),
  INTMS: reg32(0x0c),
  CC: reg32(0x14, { EN: bit(0), MPS: bits(7, 4), SHN: bits(14, 2, { normal: 1, abrupt: 2 }), IOSQES: bits(16, 4), IOCQES: bits(20, 4) }),
  CSTS: reg32(0x1c, { RDY: bit(0), CFS: bit(1), SHST: bits(2, 2, { occurring: 1, complete: 2 }) }),
  AQA: reg32(0x24, { ASQS: bits(0, 12), ACQS: bits(16, 12) }),
  ASQ: reg64(0x28),
  ACQ: reg64(0x30),
});

/** Where the doorbells begin. */
export const doorbells = 0x1000;
/** CC.MPS 0. */
export const pageSize = 4096;

export const command = struct('nvme_command', {
  opcode: u8,
  flags: u8,
  identifier: u16,
  namespace: u32,
  dword2: u32,
  dword3: u32,
  metadata: u64,
  prp1: u64,
  prp2: u64,
  dword10: u32,
  dword11: u32,
  dword12: u32,
  dword13: u32,
  dword14: u32,
  dword15: u32,
});

export const completion = struct('nvme_completion', {
  result: u32,
  dword1: u32,
  submissionHead: u16,
  submissionQueue: u16,
  identifier: u16,
  /** Bit 0 is the phase. */
  status: volatile(u16),
});

export const admin = {
  createSubmissionQueue: 0x01,
  createCompletionQueue: 0x05,
  identify: 0x06,
  setFeatures: 0x09,
  configureDoorbells: 0x7c,
} as const;
export const io = { flush: 0x00, write: 0x01, read: 0x02, datasetManagement: 0x09 } as const;

export const identifyNamespace = 0,
  identifyController = 1,
  identifyNamespaces = 2;

/** The fault records of the proposal of 2020, as values, and the responses to them. They are bytes: no kernel is asked. */
import { BadAnswerError } from '../abi/chain.js';
import {
  IOMMU_FAULT_DMA_UNRECOV,
  IOMMU_FAULT_PAGE_REQ,
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA,
  IOMMU_FAULT_PERM_EXEC,
  IOMMU_FAULT_PERM_PRIV,
  IOMMU_FAULT_PERM_READ,
  IOMMU_FAULT_PERM_WRITE,
  IOMMU_FAULT_UNRECOV_ADDR_VALID,
  IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID,
  IOMMU_FAULT_UNRECOV_PASID_VALID,
  IOMMU_PAGE_RESP_FAILURE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_PASID_VALID,
  IOMMU_PAGE_RESP_SUCCESS,
  IOMMU_UAPI_VERSION,
  iommu_fault,
  iommu_page_response,
} from '../abi/vfio/vsva-2020.js';
import { expected } from '../kernel/error.js';

/** In the order of IOMMU_FAULT_REASON_*. */
const reasons = [
  'unknown',
  'pasid-table-unreachable',
  'bad-pasid-entry',
  'pasid-invalid',
  'page-table-unreachable',
  'not-mapped',
  'permission',
  'access-flag',
  'output-out-of-range',
] as const;
/** Why an access found no translation. @useDeclaredType */
export type FaultReason = (typeof reasons)[number];

/** What the device wanted. */
export interface FaultAccess {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly privileged: boolean;
}

/** One `iommu_fault`. A value that its record does not vouch for is undefined. */
export type GuestFault =
  | {
      /** The access is lost. */
      readonly type: 'unrecoverable';
      readonly reason: FaultReason;
      readonly pasid: number | undefined;
      readonly access: FaultAccess;
      /** The page. */
      readonly address: bigint | undefined;
      /** The table entry that could not be read or updated, in the guest's memory. */
      readonly fetchAddress: bigint | undefined;
    }
  | {
      /** The device waits for a page response. */
      readonly type: 'page-request';
      readonly pasid: number | undefined;
      /** What the response must name. */
      readonly group: number;
      /** The group is complete: respond now. */
      readonly lastPage: boolean;
      readonly access: FaultAccess;
      /** The page. */
      readonly address: bigint;
      readonly privateData: readonly [bigint, bigint] | undefined;
    };

/**
 * One `iommu_fault` of 64 bytes. Mainline never took the record in this form.
 * @throws RangeError for another length; BadAnswerError for a type or reason that is not declared.
 */
export function decodeFault(bytes: Uint8Array): GuestFault {
  if (bytes.byteLength !== iommu_fault.size) throw expected(`${iommu_fault.size} bytes`, 'bytes', bytes.byteLength);
  const { type, event, prm } = iommu_fault.copy(bytes);
  switch (type) {
    case IOMMU_FAULT_DMA_UNRECOV: {
      const reason = reasons[event.reason];
      if (reason === undefined) throw new BadAnswerError(`a fault for reason ${event.reason}`, bytes);
      const has = (flag: number): boolean => (event.flags & flag) !== 0;
      return {
        type: 'unrecoverable',
        reason,
        pasid: has(IOMMU_FAULT_UNRECOV_PASID_VALID) ? event.pasid : undefined,
        access: decodeAccess(event.perm),
        address: has(IOMMU_FAULT_UNRECOV_ADDR_VALID) ? event.addr : undefined,
        fetchAddress: has(IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID) ? event.fetch_addr : undefined,
      };
    }
    case IOMMU_FAULT_PAGE_REQ: {
      const has = (flag: number): boolean => (prm.flags & flag) !== 0;
      const [first = 0n, second = 0n] = prm.private_data;
      return {
        type: 'page-request',
        pasid: has(IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) ? prm.pasid : undefined,
        group: prm.grpid,
        lastPage: has(IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE),
        access: decodeAccess(prm.perm),
        address: prm.addr,
        privateData: has(IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA) ? [first, second] : undefined,
      };
    }
    default:
      throw new BadAnswerError(`a fault of type ${type}`, bytes);
  }
}

function decodeAccess(permission: number): FaultAccess {
  const has = (flag: number): boolean => (permission & flag) !== 0;
  return {
    read: has(IOMMU_FAULT_PERM_READ),
    write: has(IOMMU_FAULT_PERM_WRITE),
    execute: has(IOMMU_FAULT_PERM_EXEC),
    privileged: has(IOMMU_FAULT_PERM_PRIV),
  };
}

const codes = {
  success: IOMMU_PAGE_RESP_SUCCESS,
  invalid: IOMMU_PAGE_RESP_INVALID,
  failure: IOMMU_PAGE_RESP_FAILURE,
} as const;

export interface PageResponse {
  /** The request's PASID, if it had one. */
  readonly pasid?: number | undefined;
  /** The request's group. */
  readonly group: number;
  /**
   * 'success': the page is there, try again. 'invalid': there is no such page. 'failure': nothing goes any more, and
   * later requests of the device may be dropped.
   */
  readonly code: keyof typeof codes;
}

/** One `iommu_page_response` of 20 bytes. Mainline never took the record in this form. @throws RangeError */
export function encodePageResponse({ pasid, group, code }: PageResponse): Uint8Array {
  if (!Object.hasOwn(codes, code)) throw expected(`one of ${Object.keys(codes).join(', ')}`, 'code', code);
  const response = iommu_page_response.create();
  response.version = IOMMU_UAPI_VERSION;
  response.flags = pasid === undefined ? 0 : IOMMU_PAGE_RESP_PASID_VALID;
  response.pasid = checkWord(pasid ?? 0, 'pasid');
  response.grpid = checkWord(group, 'group');
  response.code = codes[code];
  return response.bytes;
}

function checkWord(value: number, argument: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw expected('an integer of 32 bits', argument, value);
  return value;
}

/** A stream of a guest on an SMMUv3: aborted, passed on, or translated by the guest's tables and then by the host's. */
import { errno } from '../../../abi/errno.js';
import { IOMMU_HWPT_DATA_ARM_SMMUV3, iommu_hwpt_arm_smmuv3 } from '../../../abi/iommufd/hwpt.js';
import { IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, iommu_vevent_arm_smmuv3 } from '../../../abi/iommufd/viommu.js';
import type { DmaMapping } from '../../dma.js';
import { TranslationCache } from '../../first-stage/translation-cache.js';
import type { Translation } from '../../first-stage/walk.js';
import type { Invalidated, NestedDomain, Stage2, VirtualIommuHost } from '../hardware.js';
import { nestedMapping } from '../nested-mapping.js';
import type { UserData } from '../user-data.js';
import type { Command } from './commands.js';
import { decodeEntry, type StreamTableEntry } from './stream-table-entry.js';
import { readContext, walk, type Context, type WalkEvent } from './walk.js';

/** One address space, that of the context descriptor. */
const space = 0;
/** The class of an event: the address is the one that came in. */
const addressIsInput = 2n << 40n;

export class SmmuNestedDomain implements NestedDomain {
  readonly driver: object;
  /** The virtual IOMMU it was made on. */
  readonly host: VirtualIommuHost;
  /** The guest's number of the stream that is attached. */
  stream: bigint | undefined;
  readonly entry: StreamTableEntry;
  readonly #parent: Stage2;
  readonly #cache = new TranslationCache();
  #context: Context | undefined;

  private constructor(driver: object, host: VirtualIommuHost, parent: Stage2, entry: StreamTableEntry) {
    this.driver = driver;
    this.host = host;
    this.#parent = parent;
    this.entry = entry;
  }

  /** arm_vsmmu_alloc_domain_nested: the domain, or -errno. */
  static create(driver: object, host: VirtualIommuHost, parent: Stage2, data: UserData): SmmuNestedDomain | number {
    const given = data.copy(IOMMU_HWPT_DATA_ARM_SMMUV3, iommu_hwpt_arm_smmuv3, 'ste');
    if (typeof given === 'number') return given;
    const [first = 0n, second = 0n] = given.ste;
    const entry = decodeEntry([first, second]);
    return typeof entry === 'number' ? entry : new SmmuNestedDomain(driver, host, parent, entry);
  }

  at(iova: bigint): DmaMapping | undefined {
    switch (this.entry.kind) {
      case 'abort':
        return undefined;
      case 'bypass':
        return this.#parent.at(iova);
      case 'translate': {
        const page = this.#page(iova);
        if (typeof page !== 'number') return nestedMapping(this.#parent, page, iova);
        this.#report(page, iova);
        return undefined;
      }
    }
  }

  /** As it is in the caches, however stale. */
  #page(iova: bigint): Translation | WalkEvent {
    const cached = this.#cache.at(space, iova);
    if (cached !== undefined) return cached;
    const context = this.#context ?? readContext(this.#parent, this.entry.context);
    if (typeof context === 'number') return context;
    this.#context = context;
    const found = walk(this.#parent, context, iova);
    if (typeof found !== 'number') this.#cache.insert(space, found);
    return found;
  }

  /** arm_vmaster_report_event: an access failed. Whether it read or wrote is not told apart here. */
  #report(event: WalkEvent, address: bigint): void {
    if (this.stream === undefined) return;
    const record = iommu_vevent_arm_smmuv3.create();
    record.evt.set([BigInt(event) | (BigInt.asUintN(32, this.stream) << 32n), addressIsInput, address, 0n]);
    this.host.report(IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, record.bytes);
  }

  /** What a command of the guest drops of the caches. */
  drop(command: Command): void {
    switch (command.kind) {
      case 'all':
        return this.#cache.drop();
      case 'space':
        if (command.asid === this.#context?.asid) this.#cache.drop();
        return;
      case 'pages':
        if (command.asid === undefined || command.asid === this.#context?.asid) this.#cache.dropRange(space, command.start, command.last);
        return;
      case 'stream':
        if (command.stream === this.stream) this.#context = undefined;
    }
  }

  /** Commands go to the virtual IOMMU. */
  invalidate(): Invalidated {
    return { handled: 0, result: -errno.EOPNOTSUPP };
  }
}

/** What this package asks of capabilities(7), by their numbers. */
export const capabilities = { CAP_DAC_OVERRIDE: 1, CAP_IPC_LOCK: 14, CAP_SYS_RAWIO: 17 } as const;

/** The process that looks, as procfs shows it. */
export class Process {
  readonly user: number;
  readonly groups: readonly number[];
  readonly #effective: bigint;
  /** RLIMIT_MEMLOCK, the soft limit in bytes; Infinity: none. */
  readonly lockedMemory: number;

  /** From what its `status` and its `limits` say. */
  constructor(status: string, limits: string) {
    const numbers = (name: string): number[] => (valueOf(status, name).match(/\d+/g) ?? []).map(Number);
    this.user = numbers('Uid')[1] ?? 0;
    this.groups = [...numbers('Gid').slice(1, 2), ...numbers('Groups')];
    this.#effective = BigInt(`0x${valueOf(status, 'CapEff').trim() || '0'}`);
    const [, limit = '0'] = /^Max locked memory\s+(\S+)/m.exec(limits) ?? [];
    this.lockedMemory = limit === 'unlimited' ? Infinity : Number(limit);
  }

  has(capability: keyof typeof capabilities): boolean {
    return ((this.#effective >> BigInt(capabilities[capability])) & 1n) === 1n;
  }

  /** 'user 1000, groups 1000 27' */
  toString(): string {
    return `user ${this.user}, groups ${this.groups.join(' ')}`;
  }
}

function valueOf(status: string, name: string): string {
  return new RegExp(`^${name}:(.*)$`, 'm').exec(status)?.[1] ?? '';
}

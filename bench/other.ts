/** What a Node program without an addon of its own does: the same operations, each in the fastest form that its package has. */
export interface Other {
  addressOf(memory: Uint8Array): unknown;
  /** This call and those below are -1 when they fail, as in C. To ask for errno would be one more. */
  close(fd: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** read(2) on another thread, which waits there. */
  readAsync(fd: number, bytes: Uint8Array): Promise<unknown>;
  /** Of memory that stands for a BAR. It is for one offset, so that no access has to compute an address. */
  register(offset: number): Register;
}

/** Only what is one access of that width. */
export interface Register {
  read32?(): number;
  write32?(value: number): void;
  read64(): unknown;
  write64(value: number): void;
}

/** Ended by nobody but this driver: a status that no controller has. */
export const abandoned = 0x7fff;

/** The controller did not do a command. */
export class CommandError extends Error {
  readonly opcode: number;
  /** 0: generic, 1: of the command, 2: of the medium. */
  readonly statusType: number;
  readonly statusCode: number;

  /** `status` is the completion's status field without its phase. */
  constructor(opcode: number, status: number) {
    const [type, code] = [(status >> 8) & 7, status & 0xff];
    super(`Opcode ${opcode} ended with status type ${type}, code 0x${code.toString(16)}`);
    this.name = 'CommandError';
    this.opcode = opcode;
    this.statusType = type;
    this.statusCode = code;
  }
}

/** How a command ended: status code type and code (NVM Express 1.4, figure 126), as a completion's status field has them. */
const doNotRetry = 0x4000;

export const status = {
  success: 0,
  /** Set in others: the command would fail again. */
  doNotRetry,
  invalidOpcode: 0x001 | doNotRetry,
  invalidField: 0x002 | doNotRetry,
  /** Half of a pair of commands, of which there are none. */
  fused: 0x002,
  dataTransferError: 0x004,
  internalError: 0x006,
  invalidNamespace: 0x00b | doNotRetry,
  commandSequence: 0x00c | doNotRetry,
  invalidPrpOffset: 0x013 | doNotRetry,
  commandSetRejected: 0x02b | doNotRetry,
  outOfRange: 0x080 | doNotRetry,
  invalidCompletionQueue: 0x100 | doNotRetry,
  invalidQueue: 0x101 | doNotRetry,
  invalidQueueSize: 0x102 | doNotRetry,
  tooManyEventRequests: 0x105,
  invalidInterruptVector: 0x108 | doNotRetry,
  invalidFormat: 0x10a | doNotRetry,
  invalidQueueDeletion: 0x10c,
  featureNotSaveable: 0x10d | doNotRetry,
  featureNotChangeable: 0x10e | doNotRetry,
  featureNotOfNamespace: 0x10f | doNotRetry,
  invalidController: 0x11f | doNotRetry,
  invalidResourceCount: 0x121 | doNotRetry,
  invalidResource: 0x122 | doNotRetry,
  commandSizeLimit: 0x183 | doNotRetry,
  compareFailure: 0x285,
} as const;

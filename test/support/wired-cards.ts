/** Two network cards with a cable between them, each behind a port, as `-device` arguments: at a speed without a wait for QEMU's link. */
export const wiredCards: readonly string[] = ['left', 'right'].flatMap((end, index) => [
  `pcie-root-port,id=${end},slot=${11 + index},x-speed=5`,
  `e1000e,bus=${end},hub=0,mac=52:54:00:00:00:0${index + 1}`,
]);

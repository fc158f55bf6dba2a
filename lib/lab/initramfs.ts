import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The guest's first program. It makes the host's files its own root, read-only below and writable on top until power is
 * off, so that the command finds the same files, at the same paths, as on the host. What goes to and from the host
 * lies in the shared folder: settings and command there, output and exit status back.
 */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
# What fails here ends init, and with it the guest, without an exit status.
set -e
mkdir -p /proc /sys /dev /host /writable /lab /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
share="trans=virtio,version=9p2000.L,msize=512000"
mount -t 9p -o $share,cache=none lab /lab
. /lab/settings
mount -t 9p -o $share,cache=loose,ro host /host
mount -t tmpfs tmpfs /writable
mkdir /writable/upper /writable/work
mount -t overlay -o lowerdir=/host,upperdir=/writable/upper,workdir=/writable/work overlay /root
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
mount -t tmpfs tmpfs /root/run
for folder in proc sys dev; do mount -o rbind /$folder /root/$folder; done
mkdir -p /root/run/lab
mount -o bind /lab /root/run/lab
if [ -n "$output" ]; then
  mkdir -p "/root$output"
  mount -t 9p -o $share,cache=none output "/root$output"
fi
ifconfig lo 127.0.0.1 up
for device in /sys/bus/pci/devices/*; do
  case " $bind " in *" $(cat $device/vendor):$(cat $device/device) "*)
    echo vfio-pci > $device/driver_override
    [ ! -e $device/driver ] || basename $device > $device/driver/unbind
    basename $device > /sys/bus/pci/drivers_probe || true
    [ "$(basename "$(readlink $device/driver)")" = vfio-pci ] || echo "lab: vfio-pci did not take \${device##*/}" >> /lab/stderr
  esac
done
dmesg -c > /lab/boot.log
status=0
chroot /root /bin/sh /run/lab/command > /lab/stdout 2>> /lab/stderr < /dev/null || status=$?
dmesg > /lab/kernel.log
echo $status > /lab/status
sync
poweroff -f
`;

/** Packs busybox and the first program. The same every time, and small, so it is made anew for each guest. */
export function packInitramfs(work: string): string {
  const folder = join(work, 'initramfs');
  const file = join(work, 'initramfs.cpio');
  mkdirSync(join(folder, 'bin'), { recursive: true });
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
  writeFileSync(join(folder, 'init'), init);
  chmodSync(join(folder, 'init'), 0o755);
  const archive = execFileSync('cpio', ['-o', '-H', 'newc', '--quiet', '-R', '0:0'], {
    cwd: folder,
    input: ['.', 'bin', 'bin/busybox', 'init'].join('\n'),
    maxBuffer: 1 << 26,
  });
  writeFileSync(file, archive);
  return file;
}

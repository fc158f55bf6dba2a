/** The flags of open(2), mmap(2), memfd_create(2) and eventfd(2) that a driver meets, as Linux numbers them on x86-64 and arm64. */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_GROWSDOWN = 0x0100;
export const MAP_HUGETLB = 0x4_0000;
/** With MAP_HUGETLB, and MFD_HUGETLB, from this bit on: the size of the pages, as a power of two. 0 is what the machine prefers. */
export const MAP_HUGE_SHIFT = 26;
export const MAP_HUGE_MASK = 0x3f;
/** With MAP_HUGETLB: pages of 2 MiB, whatever size the machine prefers. */
export const MAP_HUGE_2MB = 21 << 26;
/** Pages are there when mmap returns, not at first touch. */
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x10_0000;

export const MFD_CLOEXEC = 0x1;
export const MFD_ALLOW_SEALING = 0x2;
export const MFD_HUGETLB = 0x4;

export const EFD_NONBLOCK = 0x800;

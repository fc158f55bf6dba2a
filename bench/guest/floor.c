/*
 * What the package is compared with in the lab's guest: the same work in C, by the kernel's own headers, on fds of its own.
 * Prints what it took, in nanoseconds, one `name value` a line.
 *
 *   floor ADDRESS GROUP NODE     of an edu: 0000:00:02.0 1 /dev/vfio/devices/vfio0
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 0x1000ull
#define LARGE 0x200000ull
#define IOVA 0x400000ull
#define BATCH 64
#define MOST_SAMPLES 100000
#define SIGNALS 2000
#define WARM_UP 200
#define NANOSECONDS_OF_SAMPLES 5e8

enum { NO_FILE = 1 << 30 };
enum { IDENTIFICATION = 0x00, LIVENESS = 0x04, INTERRUPT_RAISE = 0x60, INTERRUPT_ACKNOWLEDGE = 0x64 };

static double samples[MOST_SAMPLES];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void *one, const void *other) {
  const double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

static double quantile(int count, double share) {
  qsort(samples, count, sizeof(double), ascending);
  return samples[(int)(count * share)];
}

/* What a turn takes when nothing else wants the processor: of samples of so many turns, the fastest tenth. */
#define MEASURE(kind, name, turns, ...)                                                          \
  do {                                                                                           \
    int count = 0;                                                                               \
    for (double end = now() + NANOSECONDS_OF_SAMPLES; count < MOST_SAMPLES && now() < end;) {    \
      const double begin = now();                                                                \
      for (int turn = 0; turn < (turns); turn++) { __VA_ARGS__; }                                \
      samples[count++] = (now() - begin) / (turns);                                              \
    }                                                                                            \
    printf("%s%s %f\n", kind, name, quantile(count, 0.1));                                       \
  } while (0)

static int must(int result, const char *what) {
  if (result < 0) err(1, "%s", what);
  return result;
}

/* An address space: type1's container or an IOAS, and how something is mapped in it. */
struct space {
  int fd;
  uint32_t ioas;
  void (*map)(const struct space *, void *memory, uint64_t iova, uint64_t size);
  void (*unmap)(const struct space *, uint64_t iova, uint64_t size);
};

static void map_type1(const struct space *space, void *memory, uint64_t iova, uint64_t size) {
  struct vfio_iommu_type1_dma_map map = {
    .argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .vaddr = (uintptr_t)memory, .iova = iova, .size = size,
  };
  must(ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &map), "VFIO_IOMMU_MAP_DMA");
}

static void unmap_type1(const struct space *space, uint64_t iova, uint64_t size) {
  struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .iova = iova, .size = size};
  must(ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &unmap), "VFIO_IOMMU_UNMAP_DMA");
  if (unmap.size != size) errx(1, "unmapped %llu bytes", unmap.size);
}

static void map_ioas(const struct space *space, void *memory, uint64_t iova, uint64_t size) {
  struct iommu_ioas_map map = {
    .size = sizeof(map), .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
    .ioas_id = space->ioas, .user_va = (uintptr_t)memory, .length = size, .iova = iova,
  };
  must(ioctl(space->fd, IOMMU_IOAS_MAP, &map), "IOMMU_IOAS_MAP");
}

static void unmap_ioas(const struct space *space, uint64_t iova, uint64_t size) {
  struct iommu_ioas_unmap unmap = {.size = sizeof(unmap), .ioas_id = space->ioas, .iova = iova, .length = size};
  must(ioctl(space->fd, IOMMU_IOAS_UNMAP, &unmap), "IOMMU_IOAS_UNMAP");
  if (unmap.length != size) errx(1, "unmapped %llu bytes", unmap.length);
}

static void measure_mappings(const struct space *space, const char *kind, uint8_t *memory) {
  MEASURE(kind, ", one page", 16, space->map(space, memory, IOVA, PAGE); space->unmap(space, IOVA, PAGE));
  MEASURE(kind, ", 2 MiB", 16, space->map(space, memory, IOVA, LARGE); space->unmap(space, IOVA, LARGE));
  MEASURE(kind, ", 64 pages", 1,
    for (int page = 0; page < BATCH; page++) space->map(space, memory + page * PAGE, IOVA + page * PAGE, PAGE);
    for (int page = 0; page < BATCH; page++) space->unmap(space, IOVA + page * PAGE, PAGE));
}

static uint64_t region_offset(int device, uint32_t index) {
  struct vfio_region_info info = {.argsz = sizeof(info), .index = index};
  must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
  return info.offset;
}

/* The least that a system call takes. */
static void measure_crossing(void) { MEASURE("", "close", 64, close(NO_FILE)); }

static void measure_registers(int device, volatile uint32_t *registers) {
  const uint64_t config = region_offset(device, VFIO_PCI_CONFIG_REGION_INDEX);
  uint32_t word, range[16];
  MEASURE("", "config", 64, must(pread(device, &word, 4, config), "pread"));
  MEASURE("", "read32", 256, word = registers[IDENTIFICATION / 4]);
  MEASURE("", "write32", 256, registers[LIVENESS / 4] = turn);
  MEASURE("", "range16", 32, for (int index = 0; index < 16; index++) ((volatile uint32_t *)range)[index] = registers[index]);
}

/* From the write that has the device call, to the count of who waits for it. */
static void measure_interrupts(int device, volatile uint32_t *registers) {
  const uint64_t command = region_offset(device, VFIO_PCI_CONFIG_REGION_INDEX) + PCI_COMMAND;
  uint16_t word;
  must(pread(device, &word, 2, command), "pread");
  word |= PCI_COMMAND_MASTER;
  must(pwrite(device, &word, 2, command), "pwrite");

  const int eventfd_of_msi = must(eventfd(0, EFD_NONBLOCK), "eventfd"), epoll = must(epoll_create1(0), "epoll_create1");
  struct epoll_event event = {EPOLLIN, {0}};
  must(epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd_of_msi, &event), "epoll_ctl");
  struct { struct vfio_irq_set set; int32_t eventfd; } irqs = {
    {sizeof(irqs), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1}, eventfd_of_msi,
  };
  must(ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs), "VFIO_DEVICE_SET_IRQS");
  for (int signal = -WARM_UP; signal < SIGNALS; signal++) {
    uint64_t count;
    const double begin = now();
    registers[INTERRUPT_RAISE / 4] = 1;
    must(epoll_wait(epoll, &event, 1, -1), "epoll_wait");
    must(read(eventfd_of_msi, &count, 8), "read");
    if (signal >= 0) samples[signal] = now() - begin;
    registers[INTERRUPT_ACKNOWLEDGE / 4] = 1;
  }
  printf("epoll, p10 %f\nepoll, median %f\nepoll, p99 %f\n", quantile(SIGNALS, 0.1), quantile(SIGNALS, 0.5), quantile(SIGNALS, 0.99));
}

static void measure_group(const char *address, const char *group_number, uint8_t *memory) {
  char path[64];
  snprintf(path, sizeof(path), "/dev/vfio/%s", group_number);
  const int container = must(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio"), group = must(open(path, O_RDWR), path);
  must(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
  must(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
  const int device = must(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address), "VFIO_GROUP_GET_DEVICE_FD");

  const struct space space = {container, 0, map_type1, unmap_type1};
  measure_mappings(&space, "type1", memory);
  volatile uint32_t *registers =
    mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, region_offset(device, VFIO_PCI_BAR0_REGION_INDEX));
  if (registers == MAP_FAILED) err(1, "mmap");
  measure_registers(device, registers);
  measure_interrupts(device, registers);
  munmap((void *)registers, PAGE);
  close(device);
  close(group);
  close(container);
}

static void measure_node(const char *node, uint8_t *memory) {
  const int iommufd = must(open("/dev/iommu", O_RDWR), "/dev/iommu"), device = must(open(node, O_RDWR), node);
  struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd};
  must(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind), "VFIO_DEVICE_BIND_IOMMUFD");
  struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
  must(ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc), "IOMMU_IOAS_ALLOC");
  struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = alloc.out_ioas_id};
  must(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
  const struct space space = {iommufd, alloc.out_ioas_id, map_ioas, unmap_ioas};
  measure_mappings(&space, "IOAS", memory);
}

int main(int argc, char **argv) {
  if (argc != 4) errx(1, "expected ADDRESS GROUP NODE");
  uint8_t *memory = mmap(0, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) err(1, "mmap");
  measure_crossing();
  measure_group(argv[1], argv[2], memory);
  measure_node(argv[3], memory);
  return 0;
}

/*
 * The guest of the cluster tests, on the bare machine: a Linux kernel takes minutes to boot in an emulation inside an
 * emulation, this takes a second and 8 MiB. It writes its journal to the first virtio disk, reports to the first serial
 * port once a second, powers off when the power button is pressed (virsh shutdown) or a `p` comes in on that port, and resets
 * the machine when R is pressed (virsh send-key NAME KEY_R): a reboot from inside.
 *
 * Started by QEMU's -kernel as a multiboot image, on the i440FX machine (`pc`), whose firmware has set up PCI.
 */
#include "journal.h"

enum { MULTIBOOT_MAGIC = 0x1badb002 };
__attribute__((section(".multiboot"), used)) static const uint32_t multiboot[3] = {MULTIBOOT_MAGIC, 0, -(uint32_t)MULTIBOOT_MAGIC};

__attribute__((used)) static char stack[16384] __attribute__((aligned(16)));
__asm__(".globl _start\n_start: cli\n mov $stack + 16384, %esp\n cld\n push %ebx\n call machine\n");

/* The compiler may call these. */
void *memset(void *to, int byte, size_t size) {
  __asm__ volatile("rep stosb" : "=D"((int){0}), "=c"((int){0}) : "0"(to), "1"(size), "a"(byte) : "memory");
  return to;
}
void *memcpy(void *to, const void *from, size_t size) {
  __asm__ volatile("rep movsb" : "=D"((int){0}), "=S"((int){0}), "=c"((int){0}) : "0"(to), "1"(from), "2"(size) : "memory");
  return to;
}

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out32(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline uint8_t in8(uint16_t port) { uint8_t v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint16_t in16(uint16_t port) { uint16_t v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint32_t in32(uint16_t port) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }

static void halt(void) { for (;;) __asm__ volatile("cli; hlt"); }

/* Serial port. */
void say(const char *text) {
  for (; *text; text++) {
    while (!(in8(0x3fd) & 0x20)) {}
    out8(0x3f8, (uint8_t)*text);
  }
}
static void fail(const char *what) {
  say("guest: ");
  say(what);
  say("\n");
  halt();
}

/* PCI; a device is a slot of the first bus and a function. */
static uint32_t pci_read(uint32_t device, uint32_t reg) {
  out32(0xcf8, 0x80000000u | device << 8 | reg);
  return in32(0xcfc);
}
static uint32_t pci_find(uint32_t id) {
  for (uint32_t device = 0; device < 256; device++) if (pci_read(device, 0) == id) return device;
  fail("a PCI device is missing");
  return 0;
}

/* The disk: virtio-blk, the legacy interface, one request at a time, without interrupts. */
enum { QUEUE_MAX = 1024 };
static struct {
  struct { uint32_t address, high, length; uint16_t flags, next; } descriptor[QUEUE_MAX];
  uint8_t rest[4 * SLOT];
} queue __attribute__((aligned(SLOT)));
static uint16_t virtio, queue_size, requests;
static uint32_t capacity_slots;
/* Whether a request is awaited asleep, until the next tick: the node has one processor, and more to do than to wait. */
static int patient;

static void disk_open(void) {
  uint32_t device = pci_find(0x10011af4);
  out32(0xcf8, 0x80000000u | device << 8 | 4);
  out16(0xcfc, in16(0xcfc) | 5); /* I/O and bus mastering on */
  virtio = (uint16_t)(pci_read(device, 0x10) & ~3u);
  out8(virtio + 18, 0);
  out8(virtio + 18, 3); /* acknowledged, driver */
  out32(virtio + 4, 1u << 9 & in32(virtio)); /* flush, where offered: the disk then is a write-back cache without it */
  out16(virtio + 14, 0);
  queue_size = in16(virtio + 12);
  if (queue_size == 0 || queue_size > QUEUE_MAX) fail("a queue of unknown size");
  out32(virtio + 8, (uint32_t)&queue / SLOT);
  out8(virtio + 18, 7);
  capacity_slots = in32(virtio + 20) / (SLOT / 512);
}

static void request(uint32_t type, uint32_t slot, void *data, uint32_t size) {
  static struct { uint32_t type, reserved; uint64_t sector; } header;
  static volatile uint8_t status;
  volatile uint16_t *available = (volatile uint16_t *)&queue.descriptor[queue_size];
  volatile uint16_t *used = (volatile uint16_t *)(((uint32_t)(available + 3 + queue_size) + SLOT - 1) & ~(SLOT - 1u));
  header.type = type;
  header.sector = (uint64_t)slot * (SLOT / 512);
  status = 0xff;
  int parts = 0;
  queue.descriptor[parts].address = (uint32_t)&header, queue.descriptor[parts].length = sizeof header;
  queue.descriptor[parts].flags = 1, queue.descriptor[parts].next = 1, parts++;
  if (size) {
    queue.descriptor[parts].address = (uint32_t)data, queue.descriptor[parts].length = size;
    queue.descriptor[parts].flags = type == 0 ? 3 : 1, queue.descriptor[parts].next = 2, parts++;
  }
  queue.descriptor[parts].address = (uint32_t)&status, queue.descriptor[parts].length = 1;
  queue.descriptor[parts].flags = 2;
  available[0] = 1; /* no interrupt */
  available[2 + requests % queue_size] = 0;
  __asm__ volatile("" ::: "memory");
  available[1] = ++requests;
  __asm__ volatile("mfence" ::: "memory");
  out16(virtio + 16, 0);
  while (used[1] != requests) {
    if (patient) __asm__ volatile("sti; hlt; cli" ::: "memory");
    else __asm__ volatile("pause" ::: "memory");
  }
  if (status != 0) fail("a disk request failed");
}
void disk_read(uint32_t slot, uint32_t count, union slot *to) { request(0, slot, to, count * SLOT); }
void disk_write(uint32_t slot, const union slot *from) {
  request(1, slot, (void *)(uintptr_t)from, SLOT);
  request(4, 0, NULL, 0);
}

/* The clock: 18 interrupts a second, as the firmware left the timer, only to wake up from hlt. */
static volatile uint32_t ticks;
__asm__("tick: push %eax\n incl ticks\n mov $0x20, %al\n out %al, $0x20\n pop %eax\n iret\n");
static void clock_start(void) {
  extern char tick[];
  static const uint64_t gdt[3] = {0, 0x00cf9a000000ffff, 0x00cf92000000ffff};
  static struct { uint16_t low, selector, type, high; } idt[33];
  static struct __attribute__((packed)) { uint16_t limit; uint32_t base; } gdt_at, idt_at;
  gdt_at.limit = sizeof gdt - 1, gdt_at.base = (uint32_t)gdt;
  idt_at.limit = sizeof idt - 1, idt_at.base = (uint32_t)idt;
  idt[32].low = (uint16_t)(uint32_t)tick, idt[32].selector = 8, idt[32].type = 0x8e00, idt[32].high = (uint16_t)((uint32_t)tick >> 16);
  __asm__ volatile("lgdt %0; lidt %1; ljmp $8, $1f; 1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss" ::"m"(gdt_at), "m"(idt_at), "r"(16));
  out8(0x20, 0x11), out8(0x21, 32), out8(0x21, 4), out8(0x21, 1); /* interrupt controller: timer at 32 */
  out8(0xa0, 0x11), out8(0xa1, 40), out8(0xa1, 2), out8(0xa1, 1);
  out8(0x21, 0xfe), out8(0xa1, 0xff); /* and nothing else */
}

static uint64_t random(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  uint64_t value = (uint64_t)high << 32 | low;
  for (uint8_t i = 0; i < 10; i++) { /* and the date and time */
    out8(0x70, i);
    value = (value ^ in8(0x71)) * 0x9e3779b97f4a7c15u;
    value ^= value >> 29;
  }
  return value;
}

/*
 * What lies above 8 MiB gets a content: zeroes are sent as nothing, and a migration of nothing is never in its middle. What the loader
 * says of the memory: kilobytes above the first megabyte, the third word.
 */
static void fill_memory(const uint32_t *loaded) {
  for (uint32_t at = 8u << 20; at < (1024 + loaded[2]) * 1024; at += 4) *(volatile uint32_t *)at = at * 0x9e3779b9u;
}

__attribute__((used)) static void machine(const uint32_t *loaded) {
  struct writer writer;
  uint16_t power;
  fill_memory(loaded);
  clock_start();
  disk_open();
  power = (uint16_t)(pci_read(pci_find(0x71138086), 0x40) & 0xffc0); /* PIIX4 power management */
  out16(power + 2, 1u << 8); /* tell of the power button */
  writer_start(&writer, random(), capacity_slots);
  patient = 1;
  for (uint32_t told = 0;;) {
    uint32_t now = ticks;
    writer_step(&writer);
    if (ticks - told >= 18) {
      writer_report(&writer, " wrote ");
      told = ticks;
    }
    if (in16(power) & 1u << 8 || (in8(0x3fd) & 1 && in8(0x3f8) == 'p')) {
      writer_report(&writer, " powers off after ");
      out16(power + 4, 1u << 13);
    }
    if (in8(0x64) & 1 && in8(0x60) == 0x13) {
      writer_report(&writer, " resets after ");
      out8(0x64, 0xfe);
    }
    while (ticks == now) __asm__ volatile("sti; hlt; cli");
  }
}

/*
 * The guest's journal for a shell on Linux, on a volume or a plain file:
 *   guest-journal list PATH          what the disk holds, a line a slot, for checker.ts
 *   guest-journal write PATH COUNT   writes as the guest does, for the test of the checker
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "journal.h"

static int disk;

static void must(int success, const char *what) {
  if (success) return;
  fprintf(stderr, "guest-journal: %s: %s\n", what, strerror(errno));
  exit(1);
}

void disk_read(uint32_t slot, uint32_t count, union slot *to) {
  must(pread(disk, to, count * SLOT, (off_t)slot * SLOT) == (ssize_t)count * SLOT, "read");
}
void disk_write(uint32_t slot, const union slot *from) { must(pwrite(disk, from, SLOT, (off_t)slot * SLOT) == SLOT, "write"); }
void say(const char *text) { fputs(text, stdout); }

static uint32_t open_disk(const char *path, int flags) {
  disk = open(path, flags | O_DIRECT);
  if (disk < 0 && errno == EINVAL) disk = open(path, flags); /* a file system without O_DIRECT */
  must(disk >= 0, path);
  off_t size = lseek(disk, 0, SEEK_END);
  must(size > NOTES * SLOT, "too small");
  return (uint32_t)(size / SLOT);
}

static void list(const char *path) {
  static union slot slot;
  uint32_t all = open_disk(path, O_RDONLY), slots = all - NOTES < MAX_SLOTS ? all - NOTES : MAX_SLOTS;
  printf("slots %" PRIu32 "\n", slots);
  for (uint32_t i = 0; i < slots; i++) {
    disk_read(i, 1, &slot);
    enum nature is = nature_of(&slot, RECORD_MAGIC);
    printf("slot %" PRIu32 " %s", i, nature_name[is]);
    if (is == RECORD) printf(" %" PRIu32 " %" PRIu32 " %016" PRIx64, slot.r.number, slot.r.first, slot.r.boot);
    printf("\n");
  }
  for (uint32_t i = slots; i < slots + NOTES; i++) {
    disk_read(i, 1, &slot);
    if (nature_of(&slot, NOTE_MAGIC) == RECORD)
      printf("note %s %" PRIu32 " %016" PRIx64 " %" PRIu32 " %016" PRIx64 "\n", slot.r.kind, slot.r.number, slot.r.boot,
             slot.r.found_number, slot.r.found_boot);
  }
}

static void write_records(const char *path, unsigned long count) {
  struct writer writer;
  uint64_t boot;
  uint32_t all = open_disk(path, O_RDWR | O_DSYNC);
  must(getrandom(&boot, sizeof boot, 0) == sizeof boot, "getrandom");
  writer_start(&writer, boot, all);
  fflush(stdout);
  while (count--) writer_step(&writer);
  writer_report(&writer, " wrote ");
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "list") == 0) list(argv[2]);
  else if (argc == 4 && strcmp(argv[1], "write") == 0) write_records(argv[2], strtoul(argv[3], NULL, 10));
  else return fputs("usage: guest-journal list PATH | guest-journal write PATH COUNT\n", stderr), 2;
  return 0;
}

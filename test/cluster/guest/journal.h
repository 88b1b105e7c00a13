/*
 * The journal that the guest of the cluster tests keeps on its disk: numbered records, round and round. A writer never
 * overwrites a slot that does not hold what it last saw there. So a write by anyone else, or a write of its own that was
 * lost, is found: by the writer, which notes it on the disk and on the console, or afterwards by whoever reads the disk
 * (checker.ts).
 */
#include <stddef.h>
#include <stdint.h>

/* The disk is slots. The last NOTES hold notes; record N is in slot (N - 1) % (all others), no more than MAX_SLOTS. */
enum { SLOT = 4096, NOTES = 16, MAX_SLOTS = 16384 };

struct record {
  char magic[8];
  uint32_t number; /* of this record; the first ever is 1 */
  uint32_t first;  /* with which number this boot began */
  uint64_t boot;   /* random, new with every start of the writer */
  /* Notes only: what was found where `boot` had expected record `number`. */
  char kind[8];
  uint32_t found_number, spare;
  uint64_t found_boot;
  uint64_t sum; /* of all before it; the last member */
};
_Static_assert(sizeof(struct record) == 56, "the same on 32 and 64 bits");

union slot {
  struct record r;
  char bytes[SLOT];
  uint32_t words[SLOT / 4];
} __attribute__((aligned(SLOT)));

enum nature { EMPTY, ALIEN, TORN, RECORD };
extern const char *const nature_name[];
extern const char RECORD_MAGIC[8], NOTE_MAGIC[8];
enum nature nature_of(const union slot *slot, const char *magic);

struct writer {
  uint64_t boot;
  uint32_t slots, first, last;
};
void writer_start(struct writer *writer, uint64_t boot, uint32_t disk_slots);
void writer_step(struct writer *writer);
void writer_report(const struct writer *writer, const char *what);

/* What the machine that runs this has to offer. Reads and writes reach the disk itself and do not return before. */
void disk_read(uint32_t slot, uint32_t count, union slot *to);
void disk_write(uint32_t slot, const union slot *from);
void say(const char *text);

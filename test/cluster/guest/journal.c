#include "journal.h"

const char RECORD_MAGIC[8] = "lvgrec1", NOTE_MAGIC[8] = "lvgnot1";
const char *const nature_name[] = {"empty", "alien", "torn", "record"};

static union slot at_hand, many[32];
static uint64_t seen[MAX_SLOTS]; /* the checksum each slot was last seen with; 0: it was empty */
static uint32_t notes;

static int equal(const void *a, const void *b, size_t size) {
  for (size_t i = 0; i < size; i++) if (((const char *)a)[i] != ((const char *)b)[i]) return 0;
  return 1;
}

static int all_zero(const union slot *slot, size_t from) {
  for (size_t i = from / 4; i < SLOT / 4; i++) if (slot->words[i] != 0) return 0;
  return 1;
}

static uint64_t sum_of(const struct record *r) {
  uint64_t sum = 0xcbf29ce484222325u; /* FNV-1a */
  for (size_t i = 0; i < offsetof(struct record, sum); i++) sum = (sum ^ ((const unsigned char *)r)[i]) * 0x100000001b3u;
  return sum;
}

enum nature nature_of(const union slot *slot, const char *magic) {
  if (all_zero(slot, 0)) return EMPTY;
  if (!equal(slot->r.magic, magic, sizeof slot->r.magic)) return ALIEN;
  return slot->r.sum == sum_of(&slot->r) && all_zero(slot, sizeof slot->r) ? RECORD : TORN;
}

static void write_record(uint32_t slot, const struct record *r) {
  for (size_t i = 0; i < SLOT / 4; i++) at_hand.words[i] = 0;
  at_hand.r = *r;
  at_hand.r.sum = sum_of(r);
  disk_write(slot, &at_hand);
}

static void say_number(uint32_t number) {
  char text[11], *p = text + sizeof text;
  *--p = 0;
  do *--p = (char)('0' + number % 10); while (number /= 10);
  say(p);
}

static void say_boot(uint64_t boot) {
  char text[17] = {0};
  for (int i = 15; i >= 0; i--, boot >>= 4) text[i] = "0123456789abcdef"[boot & 15];
  say(text);
}

void writer_report(const struct writer *writer, const char *what) {
  say("guest: boot ");
  say_boot(writer->boot);
  say(what);
  say_number(writer->last);
  say("\n");
}

void writer_start(struct writer *writer, uint64_t boot, uint32_t disk_slots) {
  uint32_t slots = disk_slots - NOTES < MAX_SLOTS ? disk_slots - NOTES : MAX_SLOTS;
  *writer = (struct writer){.boot = boot, .slots = slots};
  for (uint32_t from = 0; from < slots; from += 32) {
    uint32_t count = slots - from < 32 ? slots - from : 32;
    disk_read(from, count, many);
    for (uint32_t i = 0; i < count; i++) {
      if (nature_of(&many[i], RECORD_MAGIC) != RECORD) continue;
      seen[from + i] = many[i].r.sum;
      if (many[i].r.number > writer->last) writer->last = many[i].r.number;
    }
  }
  writer->first = writer->last + 1;
  writer_report(writer, " continues after ");
}

/* Notes what is in a slot other than record `number`, last seen with the checksum in `seen`. */
static void compare(const struct writer *writer, uint32_t slot, uint32_t number) {
  disk_read(slot, 1, &at_hand);
  enum nature is = nature_of(&at_hand, RECORD_MAGIC);
  const struct record found = at_hand.r;
  if (seen[slot] == 0 ? is == EMPTY : is == RECORD && found.sum == seen[slot]) return;
  struct record note = {.number = number, .boot = writer->boot, .kind = "foreign"};
  for (size_t i = 0; i < sizeof note.magic; i++) note.magic[i] = NOTE_MAGIC[i];
  if (is == RECORD) note.found_number = found.number, note.found_boot = found.boot;
  /* Nothing, a write of my own, or an older record: mine has gone. All else is somebody else's. */
  const char *kind = is == TORN ? "torn" : is == EMPTY || (is == RECORD && (found.boot == writer->boot || found.number < number)) ? "lost" : "foreign";
  for (size_t i = 0; i < sizeof note.kind && (i == 0 || kind[i - 1]); i++) note.kind[i] = kind[i];
  writer_report(writer, " wrote ");
  say("guest: found ");
  say(kind);
  say(" in place of ");
  say_number(number);
  say(": number ");
  say_number(note.found_number);
  say(" of boot ");
  say_boot(note.found_boot);
  say("\n");
  /* Others may be noting too: the first slot that is free now. */
  for (; notes < NOTES; notes++) {
    disk_read(writer->slots + notes, 1, &at_hand);
    if (nature_of(&at_hand, NOTE_MAGIC) == EMPTY) {
      write_record(writer->slots + notes++, &note);
      break;
    }
  }
}

void writer_step(struct writer *writer) {
  uint32_t number = writer->last + 1, slot = (number - 1) % writer->slots;
  compare(writer, slot, number > writer->slots ? number - writer->slots : 0);
  struct record record = {.number = number, .first = writer->first, .boot = writer->boot};
  for (size_t i = 0; i < sizeof record.magic; i++) record.magic[i] = RECORD_MAGIC[i];
  write_record(slot, &record);
  seen[slot] = at_hand.r.sum;
  writer->last = number;
  compare(writer, slot, number);
}

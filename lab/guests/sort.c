// Sorts records and proves the order: quicksort, which walks from both ends of what it sorts to the middle.
//
// The argument is the size of the records in KiB (4096 without one). A record is a key, the place that it had at first,
// which decides between equal keys, and words that follow from both.
#include "guest.h"

enum {
    DEFAULT_KIB = 4096,
    MOST_KIB = 512 << 10,
    RECORD_WORDS = 32,
    // So few that equal keys occur.
    KEY_BITS = 16,
    // Records that are sorted by insertion.
    FEW = 8,
};

typedef struct {
    u32 key;
    u32 place;
    u32 words[RECORD_WORDS - 2];
} Record;

static u32 next_random(u32 *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static u32 word_of(const Record *record, u32 index) {
    return (record->key + index) * 0x9e3779b1u ^ record->place * 0x85ebca6bu;
}

static void fill(Record *records, usize count) {
    u32 state = 0x2545f491;
    for (usize i = 0; i < count; i++) {
        Record *record = &records[i];
        record->key = next_random(&state) >> (32 - KEY_BITS);
        record->place = (u32)i;
        for (u32 word = 0; word < RECORD_WORDS - 2; word++) record->words[word] = word_of(record, word);
    }
}

static u32 is_before(const Record *one, const Record *other) {
    return one->key < other->key || (one->key == other->key && one->place < other->place);
}

static void swap(Record *one, Record *other) {
    usize *left = (usize *)one, *right = (usize *)other;
    for (u32 word = 0; word < sizeof(Record) / sizeof(usize); word++) {
        usize kept = left[word];
        left[word] = right[word];
        right[word] = kept;
    }
}

static void insertion_sort(Record *records, usize count) {
    for (usize next = 1; next < count; next++)
        for (usize at = next; at > 0 && is_before(&records[at], &records[at - 1]); at--)
            swap(&records[at], &records[at - 1]);
}

// Puts the middle one of three records first.
static void choose_pivot(Record *records, usize count) {
    Record *first = &records[0], *middle = &records[count / 2], *last = &records[count - 1];
    if (is_before(middle, first)) swap(middle, first);
    if (is_before(last, middle)) swap(last, middle);
    if (is_before(first, middle)) swap(first, middle);
}

// Smaller records to the front, larger ones to the back; the place of the one between them comes back.
static usize partition(Record *records, usize count) {
    choose_pivot(records, count);
    usize low = 0, high = count;
    for (;;) {
        do low++;
        while (low < count && is_before(&records[low], &records[0]));
        do high--;
        while (is_before(&records[0], &records[high]));
        if (low >= high) break;
        swap(&records[low], &records[high]);
    }
    swap(&records[0], &records[high]);
    return high;
}

static void quicksort(Record *records, usize count) {
    while (count > FEW) {
        usize pivot = partition(records, count);
        usize behind = count - pivot - 1;
        // The shorter part by a call, so that the stack stays small.
        if (pivot < behind) {
            quicksort(records, pivot);
            records += pivot + 1;
            count = behind;
        } else {
            quicksort(records + pivot + 1, behind);
            count = pivot;
        }
    }
    insertion_sort(records, count);
}

// Of all words, in whatever order the records are.
static u32 sum_of(const Record *records, usize count) {
    u32 sum = 0;
    for (usize i = 0; i < count; i++) {
        const u32 *words = (const u32 *)&records[i];
        for (u32 word = 0; word < RECORD_WORDS; word++) sum += words[word];
    }
    return sum;
}

// Of the keys and places, in the order that they are in now.
static u32 checksum(const Record *records, usize count) {
    u32 sum = 0;
    for (usize i = 0; i < count; i++) sum = ((sum << 5) | (sum >> 27)) ^ records[i].key ^ records[i].place << 16;
    return sum;
}

static usize out_of_order(const Record *records, usize count) {
    usize wrong = 0;
    for (usize i = 1; i < count; i++) wrong += !is_before(&records[i - 1], &records[i]);
    return wrong;
}

static usize changed(const Record *records, usize count) {
    usize wrong = 0;
    for (usize i = 0; i < count; i++) {
        u32 different = records[i].place >= count;
        for (u32 word = 0; word < RECORD_WORDS - 2; word++)
            different |= records[i].words[word] != word_of(&records[i], word);
        wrong += different;
    }
    return wrong;
}

static void tell(const char *what, usize number) {
    put(what);
    put_decimal(number);
    end_line();
}

static void tell_sum(const char *what, u32 sum) {
    put(what);
    put_hex(sum);
    end_line();
}

void start(void) {
    usize kib = number_argument(DEFAULT_KIB);
    if (kib == 0 || kib > MOST_KIB) {
        say("usage: sort [KIB], from 1 to 524288");
        ExitProcess(2);
    }
    usize bytes = kib << 10;
    usize count = bytes / sizeof(Record);
    Record *records = (Record *)allocate(0, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    tell("records ", count);
    fill(records, count);
    u32 before = sum_of(records, count);
    tell_sum("sum ", before);
    tell("out of order ", out_of_order(records, count));

    quicksort(records, count);
    u32 after = sum_of(records, count);
    usize wrong_places = out_of_order(records, count);
    usize wrong_records = changed(records, count);
    tell_sum("sorted: checksum ", checksum(records, count));
    tell_sum("sum ", after);
    tell("out of order ", wrong_places);
    tell("changed ", wrong_records);
    ExitProcess(before == after && wrong_places == 0 && wrong_records == 0 ? 0 : 1);
}

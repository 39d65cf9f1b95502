// A hash map with open addressing: inserts, finds and deletes keys that a generator draws, which lie all over the table.
//
// The argument is the size of the table in KiB (4096 without one). Half of its slots are filled; of the keys every second
// is looked up and every fourth deleted; of absent keys a quarter as many are looked up.
#include "guest.h"

enum {
    DEFAULT_KIB = 4096,
    MOST_KIB = 1 << 20,
    SLOT_WORDS = 128,
    FIRST_SEED = 0x6c078965,
    OTHER_SEED = 0x1b873593,

    // No key: the slot was never used, or its key was deleted.
    EMPTY = 0,
    DELETED = 1,
    FIRST_KEY = 2,
};

typedef struct {
    u32 key;
    u32 words[SLOT_WORDS - 1];
} Slot;

typedef struct {
    Slot *slots;
    usize count;
    usize probes;
} Map;

static u32 next_key(u32 *state) {
    do {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
    } while (*state < FIRST_KEY);
    return *state;
}

static u32 word_of(u32 key, u32 index) { return (key ^ index) * 0x9e3779b1u; }

static usize home_of(const Map *map, u32 key) {
    u32 hash = key * 0x85ebca6bu;
    hash ^= hash >> 15;
    return hash % map->count;
}

// The slot of a key, or the one where it would go.
static Slot *slot_of(Map *map, u32 key) {
    Slot *free = 0;
    for (usize at = home_of(map, key);; at = at + 1 == map->count ? 0 : at + 1) {
        Slot *slot = &map->slots[at];
        map->probes++;
        if (slot->key == key) return slot;
        if (slot->key == DELETED && !free) free = slot;
        if (slot->key == EMPTY) return free ? free : slot;
    }
}

// Whether the key was not there before.
static u32 insert(Map *map, u32 key) {
    Slot *slot = slot_of(map, key);
    if (slot->key == key) return 0;
    slot->key = key;
    for (u32 word = 0; word < SLOT_WORDS - 1; word++) slot->words[word] = word_of(key, word);
    return 1;
}

static u32 is_whole(const Slot *slot) {
    u32 different = 0;
    for (u32 word = 0; word < SLOT_WORDS - 1; word++) different |= slot->words[word] ^ word_of(slot->key, word);
    return different == 0;
}

static u32 find(Map *map, u32 key) {
    Slot *slot = slot_of(map, key);
    return slot->key == key && is_whole(slot);
}

static u32 delete(Map *map, u32 key) {
    Slot *slot = slot_of(map, key);
    if (slot->key != key) return 0;
    slot->key = DELETED;
    return 1;
}

// Does something with every so many-th of the keys that a seed gives; counts where it came to something.
static usize each(Map *map, u32 seed, usize keys, usize step, u32 (*act)(Map *, u32)) {
    usize done = 0;
    for (usize i = 0; i < keys; i++) {
        u32 key = next_key(&seed);
        if (i % step == 0) done += act(map, key);
    }
    return done;
}

static void tell(const char *what, usize number) {
    put(what);
    put_decimal(number);
    end_line();
}

void start(void) {
    usize kib = number_argument(DEFAULT_KIB);
    if (kib < 4 || kib > MOST_KIB) {
        say("usage: hash_map [KIB], from 4 to 1048576");
        ExitProcess(2);
    }
    usize bytes = kib << 10;
    Slot *slots = (Slot *)allocate(0, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    Map map = {slots, bytes / sizeof(Slot), 0};
    usize keys = map.count / 2;

    tell("slots ", map.count);
    usize inserted = each(&map, FIRST_SEED, keys, 1, insert);
    tell("inserted ", inserted);
    tell("found ", each(&map, FIRST_SEED, keys, 2, find));
    tell("absent found ", each(&map, OTHER_SEED, keys / 8, 1, find));
    usize deleted = each(&map, FIRST_SEED, keys, 4, delete);
    tell("deleted ", deleted);
    tell("deleted found ", each(&map, FIRST_SEED, keys, 4, find));
    tell("probes ", map.probes);

    usize live = 0, broken = 0;
    u32 sum = 0;
    for (usize at = 0; at < map.count; at++) {
        if (slots[at].key < FIRST_KEY) continue;
        live++;
        broken += !is_whole(&slots[at]);
        sum = ((sum << 5) | (sum >> 27)) ^ slots[at].key;
    }
    tell("live ", live);
    tell("broken ", broken);
    put("checksum ");
    put_hex(sum);
    end_line();
    ExitProcess(live == inserted - deleted && broken == 0 ? 0 : 1);
}

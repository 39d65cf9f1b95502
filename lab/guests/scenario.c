// Does the steps of a scenario that it reads from standard input, and prints the answer to each on a line of its own.
//
// A step is an indented line, in the words that `lab/scenarios/README.md` lists; what stands behind `->` is for others.
// The calls are ntdll's own, whose statuses say more than last errors do.
#include "guest.h"
#include "scenario.h"

static char input[1 << 16];
static u8 *origin;
static Extent extent;

// What the last touch met: set by the handler, read by the step.
static volatile Raised raised;

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    usize *ip = context_word(pointers->context, CONTEXT_IP);
    usize *sp = context_word(pointers->context, CONTEXT_SP);
    if (*ip == (usize)touch_load || *ip == (usize)touch_store) {
        *ip = (usize)touch_return;
    } else if (*sp == (usize)touch_exec_stack) {
        // The call has happened and its target cannot run: the way back is on the stack.
        *ip = *(usize *)*sp;
        *sp += sizeof(usize);
    } else {
        return CONTINUE_SEARCH;
    }
    raised.code = record->code;
    raised.count = record->parameter_count;
    for (u32 i = 0; i < record->parameter_count && i < 3; i++) raised.parameters[i] = record->parameters[i];
    return CONTINUE_EXECUTION;
}

static i32 same(const char *word, const char *other) {
    while (*word && *word == *other) word++, other++;
    return *word == *other;
}

static NORETURN void misread(const char *word) {
    put("cannot read ");
    say(word);
    ExitProcess(2);
}

// `10000` hexadecimal, `3p` pages, `64K`, `1M`, `2G`: decimal before the unit.
static usize number(const char *word) {
    usize length = 0, unit = 1, value = 0, radix = 10;
    while (word[length]) length++;
    if (length == 0) misread("a number that is not there");
    switch (word[length - 1]) {
    case 'p': unit = PAGE_BYTES; break;
    case 'K': unit = 1 << 10; break;
    case 'M': unit = 1 << 20; break;
    case 'G': unit = 1 << 30; break;
    default: radix = 16, length++;
    }
    for (usize i = 0; i + 1 < length; i++) {
        char c = word[i];
        usize digit = c >= '0' && c <= '9' ? (usize)(c - '0') : c >= 'a' && c <= 'f' ? (usize)(c - 'a') + 10 : 99;
        if (digit >= radix) misread(word);
        value = value * radix + digit;
    }
    return value * unit;
}

// An offset from the origin, or an absolute address behind `@`.
static u8 *address(const char *word) {
    return *word == '@' ? (u8 *)number(word + 1) : origin + number(word);
}

static u32 protection_word(const char *word) {
    char base[8];
    u32 length = 0;
    while (word[length] && word[length] != '+' && length < 7) base[length] = word[length], length++;
    base[length] = 0;
    for (u32 i = 0; i < PROTECTIONS; i++) {
        if (!same(base, protection_names[i])) continue;
        for (u32 m = 0; m < MODIFIERS; m++) {
            if (same(word + length, modifier_names[m])) return (1u << i) | (m ? 0x80u << m : 0);
        }
    }
    return (u32)number(word);
}

static void put_small_protection(u32 protection) {
    for (u32 i = 0; i < PROTECTIONS; i++) {
        if ((protection & 0xff) == 1u << i) put(protection_names[i]);
    }
    for (u32 m = 1; m < MODIFIERS; m++) {
        if (protection & (0x80u << m)) put(modifier_names[m]);
    }
}

static void put_bare_hex(usize value) {
    i32 shift = 8 * sizeof value - 4;
    while (shift > 0 && (value >> shift) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}

static void put_status(u32 status) {
    for (u32 i = 0; i < STATUSES; i++) {
        if (statuses[i].code == status) {
            put(statuses[i].name);
            return;
        }
    }
    put_bare_hex(status);
}

// Ends the answer to a call: what it wrote back counts only when it succeeded, and must not be there when it failed.
static void answer(u32 status, Extent before) {
    i32 written = extent.base != before.base || extent.bytes != before.bytes;
    put_status(status);
    if (status >> 31 && written) put(" and wrote its outputs");
    if (status >> 31) extent = before;
    end_line();
}

typedef struct {
    u8 *base;
    usize bytes;
    usize zero_bits;
    u32 type;
    u32 protection;
} Request;

static u32 allocate_pages(Request request) {
    Extent asked = {request.base, request.bytes};
    extent = asked;
    u32 status = NtAllocateVirtualMemory(
        CURRENT_PROCESS, &extent.base, request.zero_bits, &extent.bytes, request.type, request.protection);
    if (status == 0 && (request.type & MEM_RESERVE || !request.base)) origin = extent.base;
    answer(status, asked);
    return status;
}

// reserve SIZE [PROT] [at ADDR] [top] [zero N]
static void make_region(char **words, u32 type) {
    Request request = {0, number(words[1]), 0, type, PAGE_READWRITE};
    for (words += 2; *words; words++) {
        if (same(*words, "at")) request.base = address(*++words);
        else if (same(*words, "top")) request.type |= MEM_TOP_DOWN;
        else if (same(*words, "zero")) request.zero_bits = number(*++words);
        else request.protection = protection_word(*words);
    }
    allocate_pages(request);
}

// raw TYPE PROT OFF SIZE [zero N]
static void raw_call(char **words) {
    Request request = {0, number(words[4]), 0, (u32)number(words[1]), protection_word(words[2])};
    if (!same(words[3], "-")) request.base = address(words[3]);
    if (words[5] && same(words[5], "zero")) request.zero_bits = number(words[6]);
    allocate_pages(request);
}

static void commit(char **words) {
    u32 protection = words[3] ? protection_word(words[3]) : PAGE_READWRITE;
    Request request = {address(words[1]), number(words[2]), 0, MEM_COMMIT, protection};
    allocate_pages(request);
}

static void free_pages(const char *offset, const char *size, u32 type) {
    Extent asked = {address(offset), number(size)};
    extent = asked;
    answer(NtFreeVirtualMemory(CURRENT_PROCESS, &extent.base, &extent.bytes, type), asked);
}

static void change_protection(char **words) {
    Extent asked = {address(words[1]), number(words[2])};
    u32 old = 0;
    extent = asked;
    u32 status =
        NtProtectVirtualMemory(CURRENT_PROCESS, &extent.base, &extent.bytes, protection_word(words[3]), &old);
    if (status == 0) {
        put("was-");
        put_small_protection(old);
        end_line();
    } else {
        answer(status, asked);
    }
}

static u32 ask(const char *offset, Region *region) {
    u32 status = NtQueryVirtualMemory(CURRENT_PROCESS, address(offset), 0, region, sizeof *region, 0);
    if (status != 0) put_status(status);
    return status;
}

// State, protection and pages: `commit/rw/3p`.
static void query_run(const char *offset) {
    Region region;
    if (ask(offset, &region) == 0) {
        put(region.state == MEM_FREE ? "free" : region.state == MEM_RESERVE ? "reserve/" : "commit/");
        if (region.state == MEM_COMMIT) {
            put_small_protection(region.protect);
            put_char('/');
        }
        if (region.state != MEM_FREE) {
            put_decimal(region.size_bytes / PAGE_BYTES);
            put_char('p');
        }
    }
    end_line();
}

// Allocation base from the origin, allocation protection, type.
static void query_owner(const char *offset) {
    Region region;
    if (ask(offset, &region) == 0) {
        if (region.state == MEM_FREE) {
            put("none");
        } else {
            put_char('+');
            put_bare_hex((usize)region.allocation_base - (usize)origin);
            put_char('/');
            put_small_protection(region.allocation_protect);
            put_char('/');
            put_type(region.type);
        }
    }
    end_line();
}

// `access-violation(1)+1fff`: code, access, byte from the origin; a third parameter is a status.
static i32 say_raised(void) {
    if (raised.code == 0) return 0;
    put_status(raised.code);
    put_char('(');
    put_decimal(raised.parameters[0]);
    put(")+");
    put_bare_hex(raised.parameters[1] - (usize)origin);
    if (raised.count > 2) {
        put_char('/');
        put_status((u32)raised.parameters[2]);
    }
    end_line();
    return 1;
}

static void read_byte(u8 *at) {
    raised.code = 0;
    u32 found = touch_load_from(at);
    if (say_raised()) return;
    put_char('=');
    put_bare_hex(found);
    end_line();
}

static void write_byte(u8 *at, u8 value) {
    raised.code = 0;
    touch_store_to(at, value);
    if (!say_raised()) say("ok");
}

static void execute(u8 *at) {
    raised.code = 0;
    touch_exec_at(at);
    if (!say_raised()) say("ok");
}

static void do_step(char **words) {
    const char *verb = words[0];
    if (same(verb, "reserve")) make_region(words, MEM_RESERVE);
    else if (same(verb, "alloc")) make_region(words, MEM_RESERVE | MEM_COMMIT);
    else if (same(verb, "commit")) commit(words);
    else if (same(verb, "raw")) raw_call(words);
    else if (same(verb, "decommit")) free_pages(words[1], words[2], MEM_DECOMMIT);
    else if (same(verb, "release")) free_pages(words[1], words[2], MEM_RELEASE);
    else if (same(verb, "free")) free_pages(words[2], words[3], (u32)number(words[1]));
    else if (same(verb, "protect")) change_protection(words);
    else if (same(verb, "query")) query_run(words[1]);
    else if (same(verb, "owner")) query_owner(words[1]);
    else if (same(verb, "read")) read_byte(address(words[1]));
    else if (same(verb, "write")) write_byte(address(words[1]), words[2] ? (u8)number(words[2]) : 0x41);
    else if (same(verb, "exec")) execute(address(words[1]));
    else if (same(verb, "base")) origin = address(words[1]), say("ok");
    else misread(verb);
}

// Cuts a line into words, up to `->`. The array ends with a null.
static void split(char *text, char *words[WORDS_MAX + 1]) {
    u32 count = 0;
    while (count < WORDS_MAX) {
        while (*text == ' ') *text++ = 0;
        if (*text == 0 || (text[0] == '-' && text[1] == '>')) break;
        words[count++] = text;
        while (*text && *text != ' ') text++;
    }
    words[count] = 0;
}

void start(void) {
    u32 length = 0, done = 0;
    while (length < sizeof input - 1 &&
           ReadFile(GetStdHandle((u32)STD_INPUT), input + length, sizeof input - 1 - length, &done, 0) && done) {
        length += done;
    }
    if (!AddVectoredExceptionHandler(1, handler)) fail("AddVectoredExceptionHandler");
    for (char *at = input, *end; *at; at = end) {
        char *words[WORDS_MAX + 1];
        for (end = at; *end && *end != '\n'; end++) {}
        if (*end) *end++ = 0;
        if (*at != ' ') continue;
        split(at, words);
        if (words[0]) do_step(words);
    }
    ExitProcess(0);
}

// Does the steps of a scenario that it reads from standard input, and prints the answer to each on a line of its own.
//
// A step is an indented line, in the words that `lab/scenarios/README.md` lists; what stands behind `->` is for others.
// The calls are ntdll's own, whose statuses say more than last errors do.
#include "guest.h"
#include "scenario.h"

static char input[1 << 16];
static u8 *origin;
// Where the instructions of touches lie.
static u8 *code_page;
static Extent extent;

// What the last touch met: set by the handler, read by the step.
static volatile Raised raised;

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    usize *ip = context_word(pointers->context, CONTEXT_IP);
    usize *sp = context_word(pointers->context, CONTEXT_SP);
    if (run_stack == 0 || *sp != run_stack) return CONTINUE_SEARCH;
    raised.code = record->code;
    raised.count = record->parameter_count;
    for (u32 i = 0; i < record->parameter_count && i < 3; i++) raised.parameters[i] = record->parameters[i];
    // The instruction has not happened: the way back is on the stack, and its registers go with it.
    *ip = *(usize *)*sp;
    *sp += sizeof(usize);
    return CONTINUE_EXECUTION;
}

static i32 same(const char *word, const char *other) {
    while (*word && *word == *other) word++, other++;
    return *word == *other;
}

static i32 starts(const char *word, const char *with) {
    while (*with && *word == *with) word++, with++;
    return *with == 0;
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
static i32 put_raised(void) {
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
    return 1;
}

static i32 say_raised(void) {
    if (!put_raised()) return 0;
    end_line();
    return 1;
}

// The instructions that touch 1, 2, 4, 8 and 16 bytes at SI, one row a verb. Empty where there is none.
typedef struct {
    u8 length;
    u8 bytes[4];
    u8 in_vector;
} Code;

#ifdef __x86_64__
#define LOAD_8 {3, {0x48, 0x8b, 0x06}, 0}
#define STORE_8 {3, {0x48, 0x89, 0x06}, 0}
#define ADD_8 {4, {0x48, 0x83, 0x06, 0x01}, 0}
#else
#define LOAD_8 {4, {0xf3, 0x0f, 0x7e, 0x06}, 1}
#define STORE_8 {4, {0x66, 0x0f, 0xd6, 0x06}, 1}
#define ADD_8 {0, {0}, 0}
#endif

static const Code loads[5] = {
    {3, {0x0f, 0xb6, 0x06}, 0}, {3, {0x0f, 0xb7, 0x06}, 0}, {2, {0x8b, 0x06}, 0}, LOAD_8, {3, {0x0f, 0x10, 0x06}, 1}};
static const Code stores[5] = {
    {2, {0x88, 0x06}, 0}, {3, {0x66, 0x89, 0x06}, 0}, {2, {0x89, 0x06}, 0}, STORE_8, {3, {0x0f, 0x11, 0x06}, 1}};
static const Code adds[5] = {
    {3, {0x80, 0x06, 0x01}, 0}, {4, {0x66, 0x83, 0x06, 0x01}, 0}, {3, {0x83, 0x06, 0x01}, 0}, ADD_8, {0, {0}, 0}};

static __attribute__((aligned(16))) u8 vector[16];

static void load_vector(void) { __asm__ volatile("movups %0, %%xmm0" : : "m"(vector)); }
static void store_vector(void) { __asm__ volatile("movups %%xmm0, %0" : "=m"(vector)); }

// Runs code that falls off its end into a return.
static void run_bytes(const u8 *bytes, u32 length) {
    if (length == 0) misread("an instruction that there is not here");
    for (u32 i = 0; i < length; i++) code_page[i] = bytes[i];
    code_page[length] = 0xc3;
    run_code_at = (usize)code_page;
    raised.code = 0;
    load_vector();
    run_code();
    store_vector();
}

static const Code *code_for(const Code rows[5], const char *width) {
    u32 index = 0;
    for (u32 bytes = width[1] ? 16 : (u32)(*width - '0'); bytes > 1; bytes >>= 1) index++;
    if (index > 4) misread(width);
    return &rows[index];
}

static void read_bytes(const char *width, u8 *at) {
    const Code *code = code_for(loads, width);
    run_registers[SI] = (usize)at;
    for (u32 i = 0; i < 16; i++) vector[i] = 0;
    run_bytes(code->bytes, code->length);
    if (say_raised()) return;
    put_char('=');
    i32 top = 15;
    u8 found[16] = {0};
    for (u32 i = 0; i < 16; i++) {
        if (code->in_vector) found[i] = vector[i];
        else if (i < sizeof(usize)) found[i] = (u8)(run_registers[AX] >> 8 * i);
    }
    while (top > 0 && found[top] == 0) top--;
    put_bare_hex(found[top]);
    for (i32 i = top - 1; i >= 0; i--) {
        put_char("0123456789abcdef"[found[i] >> 4]);
        put_char("0123456789abcdef"[found[i] & 15]);
    }
    end_line();
}

static void write_bytes(const Code *code, u8 *at, u8 value) {
    run_registers[SI] = (usize)at;
    run_registers[AX] = value * (usize)0x0101010101010101ull;
    for (u32 i = 0; i < 16; i++) vector[i] = value;
    run_bytes(code->bytes, code->length);
    if (!say_raised()) say("ok");
}

static void execute(u8 *at) {
    run_code_at = (usize)at;
    raised.code = 0;
    run_code();
    if (!say_raised()) say("ok");
}

static u32 register_word(const char *word, usize *base, usize *value) {
    for (u32 i = 0; i < REGISTERS; i++) {
        if (word[0] != register_names[i][0] || word[1] != register_names[i][1] || word[2] != '=') continue;
        *base = word[3] == '+' ? (usize)origin : 0;
        *value = number(word + (word[3] == '+' ? 4 : 3)) + *base;
        return i;
    }
    misread(word);
}

// run HEX [cx=N] [si=+OFF]: the registers that are named are told again.
static void run_instruction(char **words) {
    u8 code[16];
    u32 length = 0;
    usize base, value;
    for (const char *hex = words[1]; hex[0] && hex[1] && length < 15; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0};
        code[length++] = (u8)number(digits);
    }
    for (u32 i = 0; i < REGISTERS; i++) run_registers[i] = 0;
    for (char **word = words + 2; *word; word++) {
        u32 index = register_word(*word, &base, &value);
        run_registers[index] = value;
    }
    run_bytes(code, length);
    if (!put_raised()) put("ok");
    for (char **word = words + 2; *word; word++) {
        u32 index = register_word(*word, &base, &value);
        put_char(' ');
        put(register_names[index]);
        put(base ? "=+" : "=");
        put_bare_hex(run_registers[index] - base);
    }
    end_line();
}

static void win32_answer(i32 worked) {
    if (worked) {
        put("ok");
    } else {
        put("error-");
        put_decimal(GetLastError());
    }
    end_line();
}

// win32 reserve|alloc|commit OFF|- SIZE [PROT], win32 decommit|release OFF SIZE, win32 protect OFF SIZE PROT
static void win32_step(char **words) {
    const char *verb = words[0];
    u8 *at = same(words[1], "-") ? 0 : address(words[1]);
    usize bytes = number(words[2]);
    u32 protection = words[3] ? protection_word(words[3]) : PAGE_READWRITE, old;
    u32 type = same(verb, "reserve") ? MEM_RESERVE
             : same(verb, "commit")  ? MEM_COMMIT
             : same(verb, "alloc")   ? MEM_RESERVE | MEM_COMMIT
                                     : 0;
    if (type != 0) {
        u8 *made = VirtualAlloc(at, bytes, type, protection);
        if (made && type & MEM_RESERVE) origin = made;
        win32_answer(made != 0);
    } else if (same(verb, "protect")) {
        win32_answer(VirtualProtect(at, bytes, protection, &old));
    } else if (same(verb, "decommit")) {
        win32_answer(VirtualFree(at, bytes, MEM_DECOMMIT));
    } else if (same(verb, "release")) {
        win32_answer(VirtualFree(at, bytes, MEM_RELEASE));
    } else {
        misread(verb);
    }
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
    else if (same(verb, "read")) read_bytes("1", address(words[1]));
    else if (same(verb, "write")) write_bytes(&stores[0], address(words[1]), words[2] ? (u8)number(words[2]) : 0x41);
    else if (starts(verb, "read")) read_bytes(verb + 4, address(words[1]));
    else if (starts(verb, "write")) write_bytes(code_for(stores, verb + 5), address(words[1]), 0x41);
    else if (starts(verb, "add")) write_bytes(code_for(adds, verb + 3), address(words[1]), 0);
    else if (same(verb, "win32")) win32_step(words + 1);
    else if (same(verb, "run")) run_instruction(words);
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
    code_page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
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

// Locks in memory: critical sections, slim locks, condition variables, initialise-once and waits on an address.
#include "threads.h"

enum { WORKERS = 5, TURNS = 4000 };

static Section section;
static Word slim, variable, other_variable;
static volatile u32 counter, readers, most_readers, wrong;

static void run_all(ThreadFunction *function) {
    Handle threads[WORKERS];
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(function, (void *)i);
    for (u32 i = 0; i < WORKERS; i++) end_of(threads[i]);
}

static void count_up(void) {
    u32 seen = counter;
    for (volatile u32 i = 0; i < 20; i++) continue;
    counter = seen + 1;
}

static u32 CALL count_in_section(void *argument) {
    (void)argument;
    for (u32 i = 0; i < TURNS; i++) {
        EnterCriticalSection(&section);
        if (i % 64 == 0) EnterCriticalSection(&section);
        count_up();
        if (i % 64 == 0) LeaveCriticalSection(&section);
        LeaveCriticalSection(&section);
    }
    return 0;
}

static u32 CALL try_section(void *argument) {
    (void)argument;
    return (u32)TryEnterCriticalSection(&section);
}

static void sections(void) {
    say("critical section");
    InitializeCriticalSection(&section);
    counter = 0;
    run_all(count_in_section);
    say_number("counted", counter);
    say_if(section.lock_count == -1 && section.recursion == 0 && section.owner == 0, "it is free again");
    EnterCriticalSection(&section);
    say_number("another thread tries it:", end_of(begin(try_section, 0)));
    say_if(section.owner == (Handle)(usize)GetCurrentThreadId() && section.recursion == 1, "it is this thread's");
    LeaveCriticalSection(&section);
}

static u32 CALL read_or_write(void *argument) {
    u32 me = (u32)(usize)argument;
    for (u32 i = 0; i < TURNS / 4; i++) {
        if ((i + me) % 3 == 0) {
            AcquireSRWLockExclusive(&slim);
            if (readers != 0) wrong++;
            count_up();
            ReleaseSRWLockExclusive(&slim);
        } else {
            AcquireSRWLockShared(&slim);
            u32 now = ++readers;
            if (now > most_readers) most_readers = now;
            u32 seen = counter;
            for (volatile u32 j = 0; j < 200; j++) continue;
            if (seen != counter) wrong++;
            readers--;
            ReleaseSRWLockShared(&slim);
        }
    }
    return 0;
}

static void slim_locks(void) {
    say("slim lock");
    counter = 0;
    run_all(read_or_write);
    say_number("counted", counter);
    say_number("readers and writers met:", wrong);
    say_if(slim.word == 0, "it is free again");
}

enum { ROOM = 4, ITEMS = 1000 };

static u32 queue[ROOM], filled, taken;
static u64 sum_made, sum_taken;

static u32 CALL produce(void *argument) {
    for (u32 i = 1; i <= ITEMS; i++) {
        EnterCriticalSection(&section);
        while (filled == ROOM) SleepConditionVariableCS(&other_variable, &section, INFINITE);
        queue[filled++] = i;
        sum_made += i;
        LeaveCriticalSection(&section);
        WakeConditionVariable(&variable);
    }
    (void)argument;
    return 0;
}

static u32 CALL consume(void *argument) {
    (void)argument;
    u32 own = 0;
    for (;;) {
        EnterCriticalSection(&section);
        while (filled == 0 && taken < 2 * ITEMS) SleepConditionVariableCS(&variable, &section, INFINITE);
        if (taken == 2 * ITEMS) {
            LeaveCriticalSection(&section);
            WakeAllConditionVariable(&variable);
            return own;
        }
        sum_taken += queue[--filled];
        taken++;
        own++;
        LeaveCriticalSection(&section);
        WakeConditionVariable(&other_variable);
    }
}

static void producers(void) {
    say("producers and consumers");
    Handle threads[] = {begin(consume, 0), begin(produce, 0), begin(consume, 0), begin(produce, 0), begin(consume, 0)};
    u32 all = 0;
    for (u32 i = 0; i < 5; i++) all += end_of(threads[i]);
    say_number("taken", all);
    say_if(sum_made == sum_taken, "what was made was taken");
}

static volatile u32 ready;

static u32 CALL wait_for_ready(void *argument) {
    (void)argument;
    AcquireSRWLockShared(&slim);
    while (!ready) SleepConditionVariableSRW(&variable, &slim, INFINITE, 1);
    ReleaseSRWLockShared(&slim);
    return ready;
}

static void broadcast(void) {
    say("condition variable with a slim lock");
    Handle threads[WORKERS];
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(wait_for_ready, 0);
    Sleep(10);
    AcquireSRWLockExclusive(&slim);
    ready = 7;
    WakeAllConditionVariable(&variable);
    ReleaseSRWLockExclusive(&slim);
    u32 all = 0;
    for (u32 i = 0; i < WORKERS; i++) all += end_of(threads[i]);
    say_number("all were woken:", all);
    AcquireSRWLockExclusive(&slim);
    i32 slept = SleepConditionVariableSRW(&variable, &slim, 30, 0);
    say_number("a sleep that nobody ends:", (usize)slept);
    say_number("its last error", GetLastError());
    say_if(slim.word != 0, "the lock is held again");
    ReleaseSRWLockExclusive(&slim);
}

static u32 once_runs;
static Word once_block;

static i32 CALL once(void **state, void *parameter, void **context) {
    (void)state;
    (void)parameter;
    once_runs++;
    Sleep(20);
    *context = (void *)0x100;
    return 1;
}

static u32 CALL run_once(void *argument) {
    (void)argument;
    void *context = 0;
    if (!InitOnceExecuteOnce(&once_block.word, once, 0, &context)) return 1000;
    return (u32)(usize)context;
}

static void initialise(void) {
    say("initialise once");
    Handle threads[WORKERS];
    u32 all = 0;
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(run_once, 0);
    for (u32 i = 0; i < WORKERS; i++) all += end_of(threads[i]);
    say_number("runs", once_runs);
    say_number("contexts", all);
}

static volatile u32 word;

static u32 CALL follow(void *argument) {
    u32 seen = 0, changes = 0;
    while (seen != 10) {
        WaitOnAddress(&word, &seen, sizeof word, INFINITE);
        if (word != seen) changes++;
        seen = word;
    }
    (void)argument;
    return changes != 0;
}

static void addresses(void) {
    say("waits on an address");
    Handle threads[3];
    for (usize i = 0; i < 3; i++) threads[i] = begin(follow, 0);
    for (u32 i = 1; i <= 10; i++) {
        Sleep(5);
        word = i;
        if (i < 10) WakeByAddressSingle((void *)&word);
    }
    WakeByAddressAll((void *)&word);
    u32 all = 0;
    for (u32 i = 0; i < 3; i++) all += end_of(threads[i]);
    say_number("threads that saw it change:", all);
    u32 other = 11, same = 10;
    say_number("another value:", (usize)WaitOnAddress(&word, &other, sizeof word, INFINITE));
    say_number("the same value for 20 ms:", (usize)WaitOnAddress(&word, &same, sizeof word, 20));
    say_number("its last error", GetLastError());
}

void start(void) {
    sections();
    slim_locks();
    producers();
    broadcast();
    initialise();
    addresses();
    ExitProcess(0);
}

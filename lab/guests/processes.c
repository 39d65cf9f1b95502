// Processes: how they start and end, what they inherit, and what one may do in another.
#include "processes.h"

static volatile u32 global = 7;

static u32 CALL add_to_global(void *argument) {
    global += (u32)(usize)argument;
    return global;
}

// What the child does, by its argument.
static void child(const char *what) {
    switch (what[0]) {
    case 'x': ExitProcess(42);
    case 'i': {
        // The number of an inherited event.
        usize number = 0;
        for (what++; *what; what++) number = number * 10 + (usize)(*what - '0');
        ExitProcess(SetEvent((Handle)number) ? 0 : GetLastError());
    }
    case 'm': {
        Handle mapping = OpenFileMappingA(FILE_MAP_READ | FILE_MAP_WRITE, 0, "Local\\numbers");
        if (!mapping) ExitProcess(GetLastError());
        volatile u32 *view = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
        if (!view) ExitProcess(GetLastError());
        u32 seen = view[0];
        view[1] = seen + 1;
        global = 1000;
        ExitProcess(seen);
    }
    case 'w':
        // Somebody makes it end, or lets it go on.
        while (global == 7) Sleep(1);
        ExitProcess(global);
    }
    ExitProcess(99);
}

static void lives(void) {
    say("how processes start and end");
    ProcessInformation made = start_again("x", 0, 0);
    say_if(made.pid == GetProcessId(made.process) && made.pid != GetCurrentProcessId(), "it has an id of its own");
    say_number("it ended with", end_of_process(made.process));
    say_number("and its thread with", end_of(made.thread));
    Handle open = OpenProcess(SYNCHRONIZE, 0, made.pid);
    say_if(open != 0, "its number is its own while there is a handle");
    CloseHandle(open);
    CloseHandle(made.process);
    say_if(!OpenProcess(SYNCHRONIZE, 0, made.pid) && GetLastError() == 87, "and nobody's after that");

    made = start_again("w", 0, CREATE_SUSPENDED);
    u32 code = 0;
    say_if(GetExitCodeProcess(made.process, &code) && code == STILL_ACTIVE, "a suspended one is active");
    say_if(WaitForSingleObject(made.process, 20) == WAIT_TIMEOUT, "a wait for it ends by time");
    say_number("it was suspended so often:", ResumeThread(made.thread));
    say_if(TerminateProcess(made.process, 13), "it was ended");
    say_number("it ended with", end_of_process(made.process));
    say_if(!TerminateProcess(made.process, 14) && GetLastError() == 5, "it cannot be ended twice");

    StartupInfo startup = {.size = sizeof startup};
    say_if(!CreateProcessA("C:\\work\\nothing.exe", 0, 0, 0, 0, 0, 0, 0, &startup, &made) && GetLastError() == 2,
           "a file that is not there is no program");
}

static void handles(void) {
    say("handles");
    SecurityAttributes passed_on = {sizeof passed_on, 0, 1};
    Handle event = CreateEventA(&passed_on, 1, 0, 0);
    Handle kept = CreateEventA(0, 1, 0, 0);
    char argument[16] = "i";
    u32 length = 1, number = (u32)(usize)event;
    for (u32 unit = 1000; unit; unit /= 10) argument[length++] = (char)('0' + number / unit % 10);
    ProcessInformation made = start_again(argument, 1, 0);
    say_number("one that inherits sets the event:", end_of_process(made.process));
    say_if(WaitForSingleObject(event, 0) == WAIT_OBJECT_0, "it is set here too");
    ResetEvent(event);
    made = start_again(argument, 0, 0);
    say_number("one that does not has no such handle:", end_of_process(made.process));
    number = (u32)(usize)kept;
    length = 1;
    for (u32 unit = 1000; unit; unit /= 10) argument[length++] = (char)('0' + number / unit % 10);
    made = start_again(argument, 1, 0);
    say_number("nor is any other handle inherited:", end_of_process(made.process));

    made = start_again("w", 0, CREATE_SUSPENDED);
    Handle theirs = 0, back = 0;
    say_if(DuplicateHandle(CURRENT_PROCESS, kept, made.process, &theirs, 0, 0, DUPLICATE_SAME_ACCESS),
           "a handle is made in another process");
    say_if(DuplicateHandle(made.process, theirs, CURRENT_PROCESS, &back, 0, 0,
                           DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE),
           "and taken back");
    SetEvent(back);
    say_if(WaitForSingleObject(kept, 0) == WAIT_OBJECT_0, "they name one event");
    say_if(!DuplicateHandle(made.process, theirs, CURRENT_PROCESS, &back, 0, 0, DUPLICATE_SAME_ACCESS) &&
               GetLastError() == 6,
           "the other process has none any more");
    TerminateProcess(made.process, 0);
    end_of_process(made.process);
    say_if(!DuplicateHandle(CURRENT_PROCESS, kept, made.process, &theirs, 0, 0, DUPLICATE_SAME_ACCESS) &&
               GetLastError() == 5,
           "nor can an ended one get one");
}

static void shares(void) {
    say("what is shared");
    Handle mapping = CreateFileMappingA(INVALID_HANDLE, 0, PAGE_READWRITE, 0, PAGE_BYTES, "Local\\numbers");
    volatile u32 *view = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
    view[0] = 321;
    ProcessInformation made = start_again("m", 0, 0);
    say_number("the other process saw", end_of_process(made.process));
    say_number("and this one sees", view[1]);
    say_number("but the global of each is its own:", global);
}

static void reaches(void) {
    say("memory of another process");
    ProcessInformation made = start_again("w", 0, CREATE_SUSPENDED);
    Handle all = made.process;
    u8 *there = VirtualAllocEx(all, 0, 2 * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    say_if(there != 0, "memory was allocated there");
    u32 word = 0x12345678, copy = 0;
    usize done = 0;
    say_if(WriteProcessMemory(all, there + 5, &word, sizeof word, &done) && done == sizeof word, "written");
    say_if(ReadProcessMemory(all, there + 5, &copy, sizeof copy, &done) && copy == word, "and read");
    Region region;
    say_if(VirtualQueryEx(all, there, &region, sizeof region) == sizeof region && region.state == MEM_COMMIT &&
               region.size_bytes == 2 * PAGE_BYTES,
           "it can be asked about");
    u32 old = 0;
    say_if(VirtualProtectEx(all, there, PAGE_BYTES, PAGE_READONLY, &old) && old == PAGE_READWRITE,
           "its protection was changed");
    say_if(!WriteProcessMemory(all, there, &word, sizeof word, &done) && GetLastError() == 998,
           "a read-only page is not written");
    say_if(VirtualFreeEx(all, there, 0, MEM_RELEASE), "it was released");
    say_if(!ReadProcessMemory(all, there, &copy, sizeof copy, &done) && GetLastError() == 299, "and is gone");

    Handle weak = OpenProcess(PROCESS_QUERY_INFORMATION, 0, made.pid);
    say_if(!VirtualAllocEx(weak, 0, PAGE_BYTES, MEM_RESERVE, PAGE_READWRITE) && GetLastError() == 5,
           "a handle without the right does not allocate");
    say_if(!ReadProcessMemory(weak, (void *)&global, &copy, sizeof copy, &done) && GetLastError() == 5,
           "nor read");

    // Both have the program at one place here, for the address of a function is the same in both.
    Handle thread = CreateRemoteThread(all, 0, 0, add_to_global, (void *)(usize)35, 0, 0);
    say_number("a thread there left", end_of(thread));
    say_if(ReadProcessMemory(all, (void *)&global, &copy, sizeof copy, &done), "its global was read");
    say_number("it is", copy);
    say_number("and this process's own is", global);
    ResumeThread(made.thread);
    say_number("the process ended with", end_of_process(all));
    say_if(!VirtualAllocEx(all, 0, PAGE_BYTES, MEM_RESERVE, PAGE_READWRITE) && GetLastError() == 5,
           "an ended process gets no memory");
}

void start(void) {
    const char *what = first_argument();
    if (*what) child(what);
    lives();
    handles();
    shares();
    reaches();
    ExitProcess(0);
}

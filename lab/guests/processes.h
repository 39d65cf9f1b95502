// Processes that start each other, beside what threads have.
#ifndef PROCESSES_H
#define PROCESSES_H

#include "threads.h"

enum {
    PROCESS_TERMINATE = 0x1,
    PROCESS_VM_OPERATION = 0x8,
    PROCESS_VM_READ = 0x10,
    PROCESS_VM_WRITE = 0x20,
    PROCESS_QUERY_INFORMATION = 0x400,
    SYNCHRONIZE = 0x100000,
    DUPLICATE_CLOSE_SOURCE = 1,
    DUPLICATE_SAME_ACCESS = 2,
    FILE_MAP_WRITE = 2,
    FILE_MAP_READ = 4,
};

#define INVALID_HANDLE ((Handle)(usize)-1)

typedef struct {
    u32 size;
    char *reserved;
    char *desktop;
    char *title;
    u32 unused[7];
    u32 flags;
    u16 show;
    u16 reserved_bytes;
    u8 *reserved_block;
    Handle standard[3];
} StartupInfo;
SIZE_IS(StartupInfo, 104, 68);

typedef struct {
    Handle process;
    Handle thread;
    u32 pid;
    u32 tid;
} ProcessInformation;
SIZE_IS(ProcessInformation, 24, 16);

typedef struct {
    u32 size;
    void *descriptor;
    i32 inherit;
} SecurityAttributes;
SIZE_IS(SecurityAttributes, 24, 12);

IMPORT i32 CALL CreateProcessA(const char *program, char *command_line, void *process, void *thread, i32 inherit,
                               u32 flags, void *environment, const char *folder, StartupInfo *startup,
                               ProcessInformation *made);
IMPORT Handle CALL CreateRemoteThread(Handle process, void *attributes, usize stack, ThreadFunction *function,
                                      void *argument, u32 flags, u32 *id);
IMPORT i32 CALL DuplicateHandle(Handle from, Handle source, Handle into, Handle *made, u32 access, i32 inherit,
                                u32 options);
IMPORT Handle CALL CreateFileMappingA(Handle file, void *attributes, u32 protection, u32 high, u32 low, const char *name);
IMPORT Handle CALL OpenFileMappingA(u32 access, i32 inherit, const char *name);
IMPORT void *CALL MapViewOfFile(Handle mapping, u32 access, u32 high, u32 low, usize bytes);
IMPORT i32 CALL UnmapViewOfFile(const void *view);
IMPORT Handle CALL OpenProcess(u32 access, i32 inherit, u32 pid);
IMPORT Handle CALL OpenEventA(u32 access, i32 inherit, const char *name);
IMPORT i32 CALL GetExitCodeProcess(Handle process, u32 *code);
IMPORT u32 CALL GetCurrentProcessId(void);
IMPORT u32 CALL GetProcessId(Handle process);
IMPORT i32 CALL TerminateProcess(Handle process, u32 code);
IMPORT i32 CALL ReadProcessMemory(Handle process, const void *from, void *to, usize bytes, usize *done);
IMPORT i32 CALL WriteProcessMemory(Handle process, void *to, const void *from, usize bytes, usize *done);
IMPORT void *CALL VirtualAllocEx(Handle process, void *base, usize bytes, u32 type, u32 protect);
IMPORT i32 CALL VirtualFreeEx(Handle process, void *base, usize bytes, u32 type);
IMPORT i32 CALL VirtualProtectEx(Handle process, void *base, usize bytes, u32 protect, u32 *old_protect);
IMPORT usize CALL VirtualQueryEx(Handle process, const void *address, Region *region, usize region_bytes);

#define CURRENT_PROCESS ((Handle)(usize)-1)

// Starts this program once more with an argument.
static ProcessInformation start_again(char *argument, i32 inherit, u32 flags) {
    char command[300];
    u32 length = 0;
    const char *own = GetCommandLineA();
    // The program's own quoted name, then the argument.
    do command[length] = own[length];
    while (length++ == 0 || command[length - 1] != '"');
    command[length++] = ' ';
    while (*argument) command[length++] = *argument++;
    command[length] = 0;
    StartupInfo startup = {.size = sizeof startup};
    ProcessInformation made;
    if (!CreateProcessA(0, command, 0, 0, inherit, flags, 0, 0, &startup, &made)) fail("CreateProcess");
    return made;
}

static u32 end_of_process(Handle process) {
    u32 code = 0;
    if (WaitForSingleObject(process, INFINITE) != WAIT_OBJECT_0) fail("WaitForSingleObject");
    if (!GetExitCodeProcess(process, &code)) fail("GetExitCodeProcess");
    return code;
}

#endif

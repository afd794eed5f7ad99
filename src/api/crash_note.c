#include "crash_note.h"

#include "base/assert.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "crashed 0 rows 00000000000000001024\n" */
#define MARK_AT    8
#define NOTE_BYTES 64
#define FIRST_ROWS 1024u

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
static struct sigaction before[MR_COUNT(crash_signals)];
static volatile sig_atomic_t marked_file = -1;

/* Only what is safe in a signal handler: one write, then the death that was due. */
static void on_crash(int number)
{
    ssize_t ignored = pwrite(marked_file, "1", 1, MARK_AT);

    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_crashes(int file)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_crash;
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    marked_file = file;
    for (size_t i = 0; i < MR_COUNT(crash_signals); i++) {
        sigaction(crash_signals[i], NULL, &before[i]);
        /* A program's own handler, or a sanitizer's, knows better what to do. */
        if (before[i].sa_handler == SIG_DFL) sigaction(crash_signals[i], &action, NULL);
    }
}

static void release_crashes(void)
{
    for (size_t i = 0; i < MR_COUNT(crash_signals); i++) {
        sigaction(crash_signals[i], &before[i], NULL);
    }
    marked_file = -1;
}

static void write_note(const struct mri_crash_note *note, uint64_t rows)
{
    char text[NOTE_BYTES];
    int size = snprintf(text, sizeof text, "crashed 0 rows %020llu\n", (unsigned long long)rows);
    ssize_t ignored = pwrite(note->file, text, (size_t)size, 0);

    (void)ignored;
}

static void read_note(struct mri_crash_note *note)
{
    char text[NOTE_BYTES + 1] = "";
    ssize_t size = pread(note->file, text, NOTE_BYTES, 0);
    unsigned long long rows = 0;
    int crashed = 0;

    if (size <= 0 || sscanf(text, "crashed %d rows %llu", &crashed, &rows) != 2) return;
    if (crashed == 0) {
        note->rows = rows; /* killed from outside during a search: it goes on */
        return;
    }
    note->poison = rows == 1;
    note->rows = rows == 0 ? FIRST_ROWS : MR_MAX(rows / 2, 1ull);
}

void mri_crash_note_open(struct mri_crash_note *note, const char *dir)
{
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/CRASH", dir);

    *note = (struct mri_crash_note){.file = -1};
    if (size < 0 || (size_t)size >= sizeof path) return;
    note->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (note->file < 0) return;
    read_note(note);
    write_note(note, note->rows);
    catch_crashes(note->file);
}

void mri_crash_note_batch(void *self, uint64_t rows)
{
    struct mri_crash_note *note = self;

    if (note->begun) note->poison = false;
    note->begun = true;
    if (note->file >= 0) write_note(note, rows);
}

void mri_crash_note_close(struct mri_crash_note *note, bool failed)
{
    bool keep = failed && note->poison;

    if (note->file < 0) return;
    release_crashes();
    write_note(note, keep ? 1 : 0);
    if (keep && pwrite(note->file, "1", 1, MARK_AT) != 1) write_note(note, 0);
    (void)close(note->file);
    note->file = -1;
}

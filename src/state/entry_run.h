/* entry_run.h - entries as bytes: the form in which a task hands them to the epoch log.
 *
 * A run is a sequence of entries in the form of an ENTRIES record (docs/reference/formats.md): what
 * neighbours have in common (operator, state, range of key groups) is said once, at the start of the
 * run and where it changes. A run stands alone, so that the log takes it as a record without looking
 * inside, and tasks encode side by side.
 *
 * Owns:    nothing: the caller's memory.
 * Thread:  confined.
 * Fails:   none: the caller gives room for mr_entry_bytes_max.
 * Cost:    about one copy of key and value.
 */
#ifndef MR_STATE_ENTRY_RUN_H
#define MR_STATE_ENTRY_RUN_H

#include "state/store.h"

#define MR_ENTRY_NAME_BYTES_MAX 255u

/* What the last entry said. Zero it at the start of a run. */
struct mr_entry_writer {
    bool begun;
    char operator_id[MR_ENTRY_NAME_BYTES_MAX + 1];
    char state_name[MR_ENTRY_NAME_BYTES_MAX + 1];
    const char *operator_at; /* the same by address: mostly enough to see that nothing changed */
    const char *state_at;
    uint32_t group_first;
    uint32_t group_end;
    int64_t ns;
};

/* Room that an entry takes at most, whatever was written before it. */
MR_INLINE size_t mr_entry_bytes_max(const struct mr_entry *entry)
{
    return 2 * (MR_ENTRY_NAME_BYTES_MAX + 1) + 64 + entry->key.size_bytes + entry->value.size_bytes;
}
/* Writes an entry at `at`; returns the end of it. Names at most MR_ENTRY_NAME_BYTES_MAX bytes, and
 * their bytes unchanged as long as the writer lives. */
char *mr_entry_write(struct mr_entry_writer *writer, char *at, const char *operator_id,
                     const struct mr_entry *entry);

#endif

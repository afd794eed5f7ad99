/* state_report.h - what `millrace state` says about a state directory or a savepoint.
 *
 * Each report reads one or two snapshots from end to end and writes text, piece by piece, to
 * whoever asked; so it works on state of any size, and beside a running job.
 *
 * Owns:    nothing beyond the call.
 * Thread:  confined. Blocks.
 * Fails:   as snapshot.h; what `write` answers ends the report; MR_E_NOT_FOUND for an operator or
 *          a state that is not there, with the names that are.
 * Cost:    list: one pass. show, export, diff: two, the first for the schemas.
 */
#ifndef MR_STATE_STATE_REPORT_H
#define MR_STATE_STATE_REPORT_H

#include "state/snapshot.h"

struct mr_report {
    struct mr_heap *heap;
    struct mr_disk *disk;
    uint64_t epoch; /* of a state directory; 0: the last complete one */
    void *self;
    enum mr_status (*write)(void *self, const char *data, size_t size_bytes, struct mr_error *err);
};

/* Where it stands: epochs, attempts, files; operators and states with their sizes. */
enum mr_status mr_report_list(const struct mr_report *report, const char *dir,
                              struct mr_error *err) MR_MUST_USE;

struct mr_report_filter {
    const char *operator_id; /* NULL: all */
    const char *state_name;  /* NULL: all */
    const char *key;         /* as it is shown, quotes may be left out; NULL: all */
    uint64_t limit;          /* entries shown, show: of each state; 0: all */
};
/* Keys and values, and for each state how evenly its keys lie over the key groups. */
enum mr_status mr_report_show(const struct mr_report *report, const char *dir,
                              const struct mr_report_filter *filter,
                              struct mr_error *err) MR_MUST_USE;
/* What was added (+), removed (-) and changed (~) from one to the other. */
enum mr_status mr_report_diff(const struct mr_report *report, const char *from, const char *to,
                              const struct mr_report_filter *filter, uint64_t *out_differences,
                              struct mr_error *err) MR_MUST_USE;

enum mr_report_format { MR_REPORT_CSV, MR_REPORT_NDJSON };
/* One row per entry: operator, state, kind, key group, namespace, key and value (both JSON). */
enum mr_status mr_report_export(const struct mr_report *report, const char *dir,
                                const struct mr_report_filter *filter, enum mr_report_format format,
                                struct mr_error *err) MR_MUST_USE;
/* Copies it into a savepoint of its own; says what that holds. */
enum mr_status mr_report_savepoint(const struct mr_report *report, const char *dir, const char *to,
                                   struct mr_error *err) MR_MUST_USE;

#endif

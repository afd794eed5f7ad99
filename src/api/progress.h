/* progress.h - the line that shows a running job on a terminal.
 *
 * Input with a known size: a bar, rows and bytes per second, time to go. Otherwise: rows in and
 * out per second, how far the watermark is behind the clock, late rows. The line is drawn about ten
 * times a second from the thread that waits for the job, begins after a moment (short jobs show
 * nothing) and is erased at the end. Where results go to the same terminal it stands on a line of its
 * own above them, and stays: whoever writes results knows nothing of it, so nothing may be erased
 * once they have begun.
 *
 * Owns:    none.
 * Thread:  confined to the thread in mr_job_run; reads counters that tasks write.
 * Fails:   none; a terminal that takes no more bytes is left alone.
 * Cost:    a few sums over tasks and one write per drawing.
 */
#ifndef MR_API_PROGRESS_H
#define MR_API_PROGRESS_H

#include "job_internal.h"

#define MRI_PROGRESS_SAMPLES 16u

struct mri_progress_sample {
    int64_t at_us;
    uint64_t rows_in;
    uint64_t rows_out;
    uint64_t bytes_in;
};

struct mri_progress {
    const char *name;
    int file;           /* file descriptor of the terminal */
    bool results_there; /* results go to the same terminal: stop at the first one */
    bool over;          /* they have begun */
    bool colour;
    bool drawn;
    struct mri_progress_sample samples[MRI_PROGRESS_SAMPLES]; /* the latest, as a ring */
    uint32_t sample_count;
};

/* Draws from now on while the job runs. */
void mri_progress_attach(struct mri_progress *progress, struct mr_job *job);
/* After the run; results_shown: results may have been written. */
void mri_progress_end(struct mri_progress *progress, bool results_shown);
/* The text of the line, at most `columns` wide; no escapes. Apart from the terminal, for tests. */
struct mri_progress_view {
    const char *name;
    bool bounded;
    uint64_t total_bytes; /* UINT64_MAX: unknown */
    uint64_t bytes_in;
    double rows_in_per_s;
    double rows_out_per_s;
    double bytes_in_per_s;
    int64_t watermark_us; /* MR_TIME_MIN: none */
    int64_t wall_us;
    uint64_t rows_late;
    int64_t elapsed_us;
};
size_t mri_progress_text(const struct mri_progress_view *view, char *out, size_t room,
                         size_t columns);

#endif

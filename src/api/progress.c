#include "progress.h"

#include "base/assert.h"
#include "base/time.h"
#include "summary.h"
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_US    (100 * MR_MILLISECOND)
#define FIRST_US   (400 * MR_MILLISECOND)
#define BAR_CELLS  20u
#define LINE_BYTES 512u

/* ---- the text ---- */

/* By the rate since the start: it moves less than the latest one. */
static void eta_text(const struct mri_progress_view *view, char *out, size_t room)
{
    double left = (double)view->total_bytes - (double)view->bytes_in;
    double seconds;

    out[0] = '\0';
    if (view->bytes_in == 0 || view->elapsed_us <= 0 || left < 0) return;
    seconds = left / (double)view->bytes_in * (double)view->elapsed_us / 1e6 + 0.5;
    if (seconds < 100) {
        (void)snprintf(out, room, "  ETA %d s", (int)seconds);
    } else {
        int64_t us = (int64_t)MR_MIN(seconds, 1e9) * MR_SECOND;
        (void)snprintf(out, room, "  ETA %s", mri_seconds_text(us).text);
    }
}

static size_t bounded_text(const struct mri_progress_view *view, char *out, size_t room)
{
    double done = (double)view->bytes_in / (double)MR_MAX(view->total_bytes, UINT64_C(1));
    char bar[BAR_CELLS + 1];
    char eta[48];
    size_t full;

    done = MR_MIN(done, 1.0);
    full = (size_t)(done * BAR_CELLS);
    memset(bar, '-', BAR_CELLS);
    memset(bar, '#', full);
    bar[BAR_CELLS] = '\0';
    eta_text(view, eta, sizeof eta);
    return (size_t)snprintf(out, room, "%s [%s] %3.0f %%  %s rows/s  %s/s%s", view->name, bar,
                            done * 100, mri_short_text(view->rows_in_per_s).text,
                            mri_size_text(view->bytes_in_per_s).text, eta);
}

/* Behind the clock by at most a day or so: as a span. Old data: the watermark itself says more. */
static void watermark_text(const struct mri_progress_view *view, char *out, size_t room)
{
    int64_t lag = view->wall_us - view->watermark_us;
    char time[MR_TIME_TEXT_BYTES];

    if (view->watermark_us <= MR_TIME_MIN || view->watermark_us >= MR_GLOBAL_WINDOW_END) {
        (void)snprintf(out, room, "no watermark yet");
    } else if (lag >= 0 && lag < 2 * MR_DAY) {
        (void)snprintf(out, room, "watermark lag %s", mri_seconds_text(lag).text);
    } else {
        int64_t second = mr_floor_div(view->watermark_us, MR_SECOND) * MR_SECOND;
        size_t size = mr_format_timestamp(time, second, true);
        (void)snprintf(out, room, "watermark %.*s", (int)size, time);
    }
}

static size_t unbounded_text(const struct mri_progress_view *view, char *out, size_t room)
{
    char watermark[64];

    watermark_text(view, watermark, sizeof watermark);
    return (size_t)snprintf(out, room, "%s: in %s/s  out %s/s  %s  late %s", view->name,
                            mri_short_text(view->rows_in_per_s).text,
                            mri_short_text(view->rows_out_per_s).text, watermark,
                            mri_count_text(view->rows_late).text);
}

size_t mri_progress_text(const struct mri_progress_view *view, char *out, size_t room,
                         size_t columns)
{
    bool bar = view->bounded && view->total_bytes != UINT64_MAX && view->total_bytes > 0;
    size_t size;

    mr_assert(room > 0);
    size = bar ? bounded_text(view, out, room) : unbounded_text(view, out, room);
    size = MR_MIN(size, room - 1);
    if (size > columns) size = columns;
    out[size] = '\0';
    return size;
}

/* ---- drawing ---- */

static size_t terminal_columns(int file)
{
    struct winsize window;

    if (ioctl(file, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return 80;
    return window.ws_col;
}

/* One write, so that the line does not flicker; whether it succeeds changes nothing. */
static void put(const struct mri_progress *progress, const char *text, size_t size)
{
    ssize_t written = write(progress->file, text, size);

    (void)written;
}

/* Rates over the time that the ring covers, about a second and a half. */
static void take_sample(struct mri_progress *progress, const struct mri_progress_sample *now,
                        struct mri_progress_view *view)
{
    uint32_t count = progress->sample_count;
    uint32_t oldest = count < MRI_PROGRESS_SAMPLES ? 0 : count % MRI_PROGRESS_SAMPLES;
    struct mri_progress_sample from = progress->samples[oldest];
    double seconds = (double)(now->at_us - from.at_us) / 1e6;

    if (count > 0 && seconds > 0) {
        view->rows_in_per_s = (double)(now->rows_in - from.rows_in) / seconds;
        view->rows_out_per_s = (double)(now->rows_out - from.rows_out) / seconds;
        view->bytes_in_per_s = (double)(now->bytes_in - from.bytes_in) / seconds;
    }
    progress->samples[count % MRI_PROGRESS_SAMPLES] = *now;
    progress->sample_count++;
}

static void draw(struct mri_progress *progress, const struct mri_progress_view *view)
{
    char text[LINE_BYTES];
    char line[LINE_BYTES + 32];
    size_t columns = terminal_columns(progress->file);
    const char *loud = progress->colour && view->rows_late > 0 ? "\x1b[33m" : "";
    const char *plain = loud[0] != '\0' ? "\x1b[0m" : "";
    const char *up = progress->results_there && progress->drawn ? "\x1b[1A" : "";
    const char *down = progress->results_there ? "\n" : "";
    int size;

    mri_progress_text(view, text, sizeof text, MR_MAX(columns, (size_t)2) - 1);
    size = snprintf(line, sizeof line, "\r%s%s%s%s\x1b[K\r%s", up, loud, text, plain, down);
    put(progress, line, (size_t)size);
    progress->drawn = true;
}

void mri_progress_end(struct mri_progress *progress, bool results_shown)
{
    if (!progress->drawn) return;
    progress->drawn = false;
    if (!progress->results_there) {
        put(progress, "\r\x1b[K", 4);
    } else if (!results_shown) {
        put(progress, "\r\x1b[1A\x1b[K", 8);
    }
}

static void watch(void *self, struct mr_job *job, const struct mr_runner *runner,
                  uint64_t total_bytes, bool bounded)
{
    struct mri_progress *progress = self;
    const struct mr_clock *clock = &job->port.clock;
    int64_t now_us = clock->monotonic(clock->self).us;
    struct mri_progress_sample now = {
        .at_us = now_us,
        .rows_in = mr_runner_counter(runner, MR_COUNTER_ROWS_IN),
        .rows_out = mr_runner_counter(runner, MR_COUNTER_ROWS_OUT),
        .bytes_in = mr_runner_counter(runner, MR_COUNTER_BYTES_IN),
    };
    struct mri_progress_view view = {
        .name = progress->name,
        .bounded = bounded,
        .total_bytes = total_bytes,
        .bytes_in = now.bytes_in,
        .elapsed_us = now_us - runner->started.us,
        .rows_late = mr_runner_counter(runner, MR_COUNTER_ROWS_LATE),
        .watermark_us = mr_runner_watermark(runner),
        .wall_us = clock->wall(clock->self).us,
    };
    uint32_t count = progress->sample_count;

    if (progress->results_there && now.rows_out > 0) progress->over = true;
    if (progress->over) return;
    if (count > 0 &&
        now_us - progress->samples[(count - 1) % MRI_PROGRESS_SAMPLES].at_us < DRAW_US) {
        return;
    }
    take_sample(progress, &now, &view);
    if (now_us - runner->started.us >= FIRST_US) draw(progress, &view);
}

void mri_progress_attach(struct mri_progress *progress, struct mr_job *job)
{
    job->watch = watch;
    job->watch_self = progress;
}

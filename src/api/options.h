/* options.h - the options of a job's command line: one table for parsing, help, completion, manual.
 *
 * The rows of mri_common_options are what every job has; a command adds its own. Nothing else in
 * the tree knows an option by another way than through these rows, so that help and manual cannot
 * drift from what is parsed.
 *
 * Owns:    none: values point into argv or at static text.
 * Thread:  confined.
 * Fails:   a wrong command line gives false and a text for a person, with a suggestion if there is one.
 * Cost:    cold; no allocation.
 */
#ifndef MR_API_OPTIONS_H
#define MR_API_OPTIONS_H

#include "base/compiler.h"
#include <millrace/millrace.h>
#include <stdio.h>

/* In the order of the table, which is the order of the help. */
enum mri_common {
    MRI_OPTION_INPUT,
    MRI_OPTION_RATE,
    MRI_OPTION_OUTPUT,
    MRI_OPTION_OUTPUT_FORMAT,
    MRI_OPTION_MODE,
    MRI_OPTION_WORKERS,
    MRI_OPTION_MEMORY,
    MRI_OPTION_ON_ERROR,
    MRI_OPTION_WATERMARK_DELAY,
    MRI_OPTION_LATE,
    MRI_OPTION_STATE_DIR,
    MRI_OPTION_GUARANTEE,
    MRI_OPTION_TRACK,
    MRI_OPTION_EPOCH,
    MRI_OPTION_COMMIT,
    MRI_OPTION_DURABILITY,
    MRI_OPTION_ROLL,
    MRI_OPTION_RESTARTS,
    MRI_OPTION_FRESH,
    MRI_OPTION_TAKEOVER,
    MRI_OPTION_FROM,
    MRI_OPTION_DROPPED_STATE,
    MRI_OPTION_EXPLAIN,
    MRI_OPTION_METRICS_JSON,
    MRI_OPTION_QUIET,
    MRI_OPTION_HELP,
    MRI_COMMON_COUNT
};

enum mri_option_when { MRI_ALWAYS, MRI_WITH_INPUT, MRI_WITH_WATERMARK };

struct mri_option {
    struct mr_command_option spec; /* default_text NULL: see shown_default */
    const char *shown_default;     /* for people, where the default is no value to be parsed */
    enum mri_option_when when;
};

extern const struct mri_option mri_common_options[MRI_COMMON_COUNT];

#define MRI_EXTRA_OPTIONS_MAX 48u

struct mr_arguments {
    const struct mr_command *command;
    struct mr_job *job; /* where misuse is reported; NULL while parsing */
    const char *given[MRI_COMMON_COUNT + MRI_EXTRA_OPTIONS_MAX]; /* NULL: not on the command line */
    int64_t numbers[MRI_COMMON_COUNT + MRI_EXTRA_OPTIONS_MAX]; /* parsed, where the kind has one */
    char error[512];                                           /* after a failed parse: one line */
};

/* Fills *out from argv. With --help among the options nothing is required. */
bool mri_arguments_parse(const struct mr_command *command, int argc, char **argv,
                         struct mr_arguments *out) MR_MUST_USE;
/* The value on the command line, else the default, else NULL. */
const char *mri_argument_common(const struct mr_arguments *arguments, enum mri_common option);

/* `--help` of a command, wrapped to 80 columns. */
void mri_print_help(const struct mr_command *command, FILE *out);
/* The rows as a table of the manual (Markdown). */
void mri_print_reference(FILE *out);

/* Sizes: `4096`, `64KiB`, `64MiB`, `2GiB`, `1TiB`, or with KB, MB, GB, TB (powers of 1000). */
bool mri_parse_bytes(const char *text, int64_t *out);
/* `128MiB`, `60s`, or both with a comma; what is not named becomes 0. */
bool mri_parse_roll(const char *text, uint64_t *out_bytes, int64_t *out_us);
bool mri_parse_number(const char *text, int64_t *out);
/* The nearest of `count` names to a mistyped one, NULL if none is near. */
const char *mri_suggest(const char *typed, const char *(*name_at)(const void *self, uint32_t index),
                        const void *self, uint32_t count);

#endif

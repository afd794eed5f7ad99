/* cli.h - the commands of `millrace`: a table, one file per command.
 *
 * Owns:    none.
 * Thread:  one.
 * Fails:   commands return an exit code and have said on stderr what is wrong.
 * Cost:    cold.
 */
#ifndef MR_CLI_CLI_H
#define MR_CLI_CLI_H

#include "base/compiler.h"
#include <stdio.h>

#define MRI_EXIT_DONE   0
#define MRI_EXIT_FAILED 1
#define MRI_EXIT_USAGE  2

struct mri_cli_command {
    const char *name;
    const char *arguments;             /* "bash|zsh|fish [PROGRAM...]" */
    const char *summary;               /* one line */
    const char *help;                  /* lines below the usage line */
    const char *words;                 /* what completes the first argument: "bash zsh fish" */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct mri_cli_command mri_cli_version;
extern const struct mri_cli_command mri_cli_help;
extern const struct mri_cli_command mri_cli_completion;
extern const struct mri_cli_command mri_cli_state;
extern const struct mri_cli_command mri_cli_stop;
extern const struct mri_cli_command mri_cli_log;

extern const struct mri_cli_command *const mri_cli_commands[];
extern const uint32_t mri_cli_command_count;

/* NULL: there is none of that name. */
const struct mri_cli_command *mri_cli_find(const char *name);
/* Says that there is no such command, with a suggestion; returns the exit code. */
int mri_cli_unknown(const char *name);
void mri_cli_print_command(const struct mri_cli_command *command, FILE *out);

#endif

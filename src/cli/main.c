#include "cli.h"

#include "api/options.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

const struct mri_cli_command *const mri_cli_commands[] = {
    &mri_cli_version,
    &mri_cli_state,
    &mri_cli_stop,
    &mri_cli_log,
    &mri_cli_completion,
    &mri_cli_help,
};
const uint32_t mri_cli_command_count = MR_COUNT(mri_cli_commands);

const struct mri_cli_command *mri_cli_find(const char *name)
{
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        if (strcmp(mri_cli_commands[i]->name, name) == 0) return mri_cli_commands[i];
    }
    return NULL;
}

static const char *command_name(const void *self, uint32_t index)
{
    (void)self;
    return mri_cli_commands[index]->name;
}

int mri_cli_unknown(const char *name)
{
    const char *near = mri_suggest(name, command_name, NULL, mri_cli_command_count);

    fprintf(stderr, "millrace: there is no command '%.80s'", name);
    if (near != NULL) fprintf(stderr, "; did you mean '%s'?", near);
    fputs("\n(millrace help shows all commands)\n", stderr);
    return MRI_EXIT_USAGE;
}

/* `--help` and `--version` as options, because everybody tries them. */
static const char *command_of(const char *argument)
{
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) return "help";
    if (strcmp(argument, "--version") == 0) return "version";
    return argument;
}

static bool wants_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

static int finish(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return code;
    if (errno == EPIPE) return 128 + SIGPIPE;
    fprintf(stderr, "millrace: standard output cannot be written: %s\n", strerror(errno));
    return MRI_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const struct mri_cli_command *command;

    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        (void)mri_cli_help.run(0, argv);
        return finish(MRI_EXIT_USAGE);
    }
    command = mri_cli_find(command_of(argv[1]));
    if (command == NULL) return mri_cli_unknown(argv[1]);
    if (wants_help(argc - 1, argv + 1)) {
        mri_cli_print_command(command, stdout);
        return finish(MRI_EXIT_DONE);
    }
    return finish(command->run(argc - 1, argv + 1));
}

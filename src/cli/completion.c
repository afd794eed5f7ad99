/* completion.c - scripts that let a shell complete commands and options.
 *
 * Jobs are programs of their own: those named behind the shell get the options that every job has.
 * The options and their choices come from the table that also parses them.
 */
#include "cli.h"

#include "api/options.h"
#include <string.h>

static bool takes_path(const struct mr_command_option *option)
{
    return option->kind == MR_OPTION_TEXT && option->argument != NULL &&
           (strcmp(option->argument, "PATH") == 0 || strcmp(option->argument, "FILE") == 0);
}

static bool has_choices(const struct mr_command_option *option)
{
    return option->kind == MR_OPTION_CHOICE || strchr(option->argument, '|') != NULL;
}

/* `a|b=PATH` as words: "a b=". */
static void print_choices(const char *choices, char separator, FILE *out)
{
    for (const char *at = choices; *at != '\0';) {
        size_t size = strcspn(at, "|");
        size_t shown = MR_MIN(size, strcspn(at, "=") + 1);
        if (at != choices) fputc(separator, out);
        fprintf(out, "%.*s", (int)shown, at);
        at += size;
        if (*at == '|') at++;
    }
}

/* Inside single quotes of a shell. */
static void print_single_quoted(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", out);
        } else {
            fputc(*text, out);
        }
    }
}

/* ---- bash ---- */

static void bash_jobs(int count, char **programs, FILE *out)
{
    if (count == 0) return;
    fputs("_millrace_job() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    COMPREPLY=()\n"
          "    case $prev in\n",
          out);
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        const struct mr_command_option *option = &mri_common_options[i].spec;
        if (option->kind == MR_OPTION_FLAG || option->kind == MR_OPTION_FLAG_OR_CHOICE) continue;
        fprintf(out, "    --%s)\n        ", option->name);
        if (takes_path(option)) {
            fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", out);
        } else if (has_choices(option)) {
            fputs("COMPREPLY=($(compgen -W '", out);
            print_choices(option->argument, ' ', out);
            fputs("' -- \"$cur\"))", out);
        }
        fputs("\n        return ;;\n", out);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -W '", out);
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        fprintf(out, "%s--%s", i > 0 ? " " : "", mri_common_options[i].spec.name);
    }
    fputs("' -- \"$cur\"))\n}\n", out);
    for (int i = 0; i < count; i++) {
        fputs("complete -F _millrace_job '", out);
        print_single_quoted(programs[i], out);
        fputs("'\n", out);
    }
}

static void print_bash(int count, char **programs, FILE *out)
{
    fputs("# bash completion for millrace\n"
          "_millrace() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]}\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '",
          out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        fprintf(out, "%s%s", i > 0 ? " " : "", mri_cli_commands[i]->name);
    }
    fputs("' -- \"$cur\"))\n    elif ((COMP_CWORD == 2)); then\n        case ${COMP_WORDS[1]} in\n",
          out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        fprintf(out, "        %s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n",
                mri_cli_commands[i]->name, mri_cli_commands[i]->words);
    }
    fputs("        esac\n    else\n        COMPREPLY=($(compgen -c -- \"$cur\"))\n    fi\n}\n"
          "complete -F _millrace millrace\n",
          out);
    bash_jobs(count, programs, out);
}

/* ---- zsh ---- */

/* A description inside '...[here]...': brackets and colons mean something to _arguments. */
static void zsh_description(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '[' || *text == ']' || *text == ':') fputc('\\', out);
        if (*text == '\'') {
            fputs("'\\''", out);
        } else {
            fputc(*text, out);
        }
    }
}

static void zsh_jobs(int count, char **programs, FILE *out)
{
    if (count == 0) return;
    fputs("_millrace_job() {\n    _arguments", out);
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        const struct mr_command_option *option = &mri_common_options[i].spec;
        fprintf(out, " \\\n        '--%s[", option->name);
        zsh_description(option->help, out);
        fputc(']', out);
        if (option->kind == MR_OPTION_FLAG || option->kind == MR_OPTION_FLAG_OR_CHOICE) {
            fputc('\'', out);
            continue;
        }
        fputs(":value:", out);
        if (takes_path(option)) {
            fputs("_files", out);
        } else if (has_choices(option)) {
            fputc('(', out);
            print_choices(option->argument, ' ', out);
            fputc(')', out);
        }
        fputc('\'', out);
    }
    fputs("\n}\n", out);
    for (int i = 0; i < count; i++) {
        fputs("compdef _millrace_job '", out);
        print_single_quoted(programs[i], out);
        fputs("'\n", out);
    }
}

static void print_zsh(int count, char **programs, FILE *out)
{
    fputs("#compdef millrace\n"
          "_millrace() {\n"
          "    local -a commands\n"
          "    if ((CURRENT == 2)); then\n"
          "        commands=(\n",
          out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        fprintf(out, "            '%s:", mri_cli_commands[i]->name);
        zsh_description(mri_cli_commands[i]->summary, out);
        fputs("'\n", out);
    }
    fputs("        )\n        _describe command commands\n"
          "    elif ((CURRENT == 3)); then\n        case $words[2] in\n",
          out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        fprintf(out, "        %s) compadd -- %s ;;\n", mri_cli_commands[i]->name,
                mri_cli_commands[i]->words);
    }
    fputs("        esac\n    fi\n}\ncompdef _millrace millrace\n", out);
    zsh_jobs(count, programs, out);
}

/* ---- fish ---- */

static void fish_option(const char *program, const struct mr_command_option *option, FILE *out)
{
    fputs("complete -c '", out);
    print_single_quoted(program, out);
    fprintf(out, "' -l %s", option->name);
    if (option->kind != MR_OPTION_FLAG && option->kind != MR_OPTION_FLAG_OR_CHOICE) {
        fputs(takes_path(option) ? " -r -F" : " -x", out);
        if (has_choices(option)) {
            fputs(" -a '", out);
            print_choices(option->argument, ' ', out);
            fputc('\'', out);
        }
    }
    fputs(" -d '", out);
    for (const char *at = option->help; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\') fputc('\\', out);
        fputc(*at, out);
    }
    fputs("'\n", out);
}

static void print_fish(int count, char **programs, FILE *out)
{
    fputs("# fish completion for millrace\ncomplete -c millrace -f\n", out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        const struct mri_cli_command *command = mri_cli_commands[i];
        fprintf(out, "complete -c millrace -n __fish_use_subcommand -a %s -d '", command->name);
        print_single_quoted(command->summary, out);
        fputs("'\n", out);
        if (command->words[0] == '\0') continue;
        fprintf(out, "complete -c millrace -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                command->name, command->words);
    }
    for (int p = 0; p < count; p++) {
        for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
            fish_option(programs[p], &mri_common_options[i].spec, out);
        }
    }
}

static int run_completion(int argc, char **argv)
{
    const char *shell = argc > 1 ? argv[1] : "";
    int count = argc - 2;

    if (strcmp(shell, "bash") == 0) {
        print_bash(count, argv + 2, stdout);
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh(count, argv + 2, stdout);
    } else if (strcmp(shell, "fish") == 0) {
        print_fish(count, argv + 2, stdout);
    } else if (argc < 2) {
        fputs("millrace: completion: for which shell? bash, zsh or fish\n", stderr);
        return MRI_EXIT_USAGE;
    } else {
        fprintf(stderr,
                "millrace: completion: there is no script for '%.80s', only for bash, zsh "
                "and fish\n",
                shell);
        return MRI_EXIT_USAGE;
    }
    return MRI_EXIT_DONE;
}

const struct mri_cli_command mri_cli_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish [PROGRAM...]",
    .summary = "prints a script that lets a shell complete commands and options",
    .help = "Without PROGRAM it knows only millrace itself; named programs get the options that "
            "every job has.\n"
            "example:  source <(millrace completion bash flights wordcount)\n"
            "exit:     0 done, 2 wrong usage\n",
    .words = "bash zsh fish",
    .run = run_completion,
};

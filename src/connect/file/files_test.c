/* files_test.c - which files a path means, and what is inside them. */
#include "connect/file/files.h"
#include "memory_disk.h"
#include "mr_test.h"

struct match_case {
    const char *pattern;
    const char *name;
    bool match;
};

MR_TEST(files, globs_match_as_in_a_shell)
{
    static const struct match_case cases[] = {
        {"*", "abc", true},
        {"*", "", true},
        {"*", ".abc", false},
        {".*", ".abc", true},
        {"a*c", "abbbc", true},
        {"a*c", "abcb", false},
        {"*.csv", "x.csv", true},
        {"*.csv", "x.csv.gz", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[abc]x", "bx", true},
        {"[abc]x", "dx", false},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"[!a-c]x", "dx", true},
        {"[]]x", "]x", true},
        {"[a", "[a", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"a**b", "ab", true},
        {"", "", true},
        {"", "a", false},
        {"x*y*z", "xyyyzyz", true},
        {"[a-", "[a-", true},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        if (mri_glob_match(cases[i].pattern, cases[i].name) != cases[i].match) {
            MR_FAIL("%s against %s", cases[i].pattern, cases[i].name);
        }
    }
}

static void make_disk(struct memory_disk *disk)
{
    memory_disk_init(disk, mr_test_heap());
    memory_disk_put(disk, "d1/x.csv", "1", 1);
    memory_disk_put(disk, "d1/y.csv", "12", 2);
    memory_disk_put(disk, "d1/.hidden", "1", 1);
    memory_disk_put(disk, "d1/sub/z.csv", "1", 1);
    memory_disk_put(disk, "d2/x.csv", "1", 1);
    memory_disk_put(disk, "top.csv", "", 0);
    memory_disk_put(disk, "odd[name].csv", "1", 1);
    memory_disk_put(disk, "empty/.only-hidden", "1", 1);
}

static void expect_files(const char *path, const char *expected)
{
    struct memory_disk disk;
    struct mri_files files;
    struct mr_error err;
    char listed[500] = "";

    make_disk(&disk);
    mri_files_init(&files, mr_test_heap());
    MR_EXPECT_OK(mri_files_plan(&files, &disk.disk, path, &err), &err);
    for (uint32_t i = 0; i < files.count; i++) {
        strcat(listed, files.files[i].path);
        strcat(listed, " ");
    }
    MR_EXPECT_EQ_STR(listed, expected);
    mri_files_fini(&files);
    memory_disk_fini(&disk);
}

MR_TEST(files, a_path_is_a_file_a_directory_or_a_pattern)
{
    expect_files("d1/x.csv", "d1/x.csv ");
    expect_files("d1", "d1/x.csv d1/y.csv ");
    expect_files("d1/*.csv", "d1/x.csv d1/y.csv ");
    expect_files("d?/x.csv", "d1/x.csv d2/x.csv ");
    expect_files("*/*", "d1/x.csv d1/y.csv d2/x.csv ");
    expect_files("d1/*/z.csv", "d1/sub/z.csv ");
    expect_files("*.csv", "odd[name].csv top.csv ");
    expect_files("odd[name].csv", "odd[name].csv "); /* a name goes before a pattern */
    expect_files("-", "stdin ");
}

static void expect_error(const char *path, enum mr_status status, const char *text)
{
    struct memory_disk disk;
    struct mri_files files;
    struct mr_error err;

    make_disk(&disk);
    memory_disk_put(&disk, "a.parquet", "PAR1....PAR1", 12);
    memory_disk_put(&disk, "a.orc", "ORC.....ORC\x10", 12);
    memory_disk_put(&disk, "a.avro", "Obj\x01....", 8);
    memory_disk_put(&disk, "a.xz",
                    "\xfd"
                    "7zXZ\0..",
                    8);
    memory_disk_put(&disk, "a.bz2", "BZh91AY&SY..", 12);
    memory_disk_put(&disk, "a.zip", "PK\x03\x04....", 8);
    mri_files_init(&files, mr_test_heap());
    MR_EXPECT_STATUS(mri_files_plan(&files, &disk.disk, path, &err), status);
    MR_EXPECT_CONTAINS(err.text, text);
    MR_EXPECT_CONTAINS(err.text, path);
    mri_files_fini(&files);
    memory_disk_fini(&disk);
}

MR_TEST(files, what_cannot_be_read_is_refused_with_its_name)
{
    expect_error("nothing.csv", MR_E_NOT_FOUND, "no such file");
    expect_error("d1/*.txt", MR_E_NOT_FOUND, "no file matches");
    expect_error("empty", MR_E_NOT_FOUND, "has no files to read");
    expect_error("a.parquet", MR_E_UNSUPPORTED, "a Parquet file");
    expect_error("a.orc", MR_E_UNSUPPORTED, "an ORC file");
    expect_error("a.avro", MR_E_UNSUPPORTED, "an Avro file");
    expect_error("a.xz", MR_E_UNSUPPORTED, "xz -d");
    expect_error("a.bz2", MR_E_UNSUPPORTED, "bunzip2");
    expect_error("a.zip", MR_E_UNSUPPORTED, "unzip");
}

static void (*honest_submit)(struct mr_disk *disk, struct mr_disk_request *request);

/* As the files of /proc do: bytes can be read, but the size is said to be 0. */
static void submit_without_size(struct mr_disk *disk, struct mr_disk_request *request)
{
    honest_submit(disk, request);
    request->info.size_bytes = 0;
}

MR_TEST(files, a_file_that_does_not_say_its_size_is_refused_and_not_taken_as_empty)
{
    struct memory_disk disk;
    struct mri_files files;
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "cpuinfo", "a\n", 2);
    memory_disk_put(&disk, "nothing", "", 0);
    honest_submit = disk.disk.submit;
    disk.disk.submit = submit_without_size;
    mri_files_init(&files, mr_test_heap());
    MR_EXPECT_STATUS(mri_files_plan(&files, &disk.disk, "cpuinfo", &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "cpuinfo has bytes but does not say how many");
    mri_files_fini(&files);
    mri_files_init(&files, mr_test_heap());
    MR_EXPECT_OK(mri_files_plan(&files, &disk.disk, "nothing", &err), &err);
    mri_files_fini(&files);
    memory_disk_fini(&disk);
}

MR_TEST(files, text_that_begins_with_the_letters_of_a_magic_number_is_text)
{
    struct memory_disk disk;
    struct mri_files files;
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "x", "PAR1,PAR2\n1,2\n", 14);
    mri_files_init(&files, mr_test_heap());
    MR_EXPECT_OK(mri_files_plan(&files, &disk.disk, "x", &err), &err);
    MR_EXPECT_EQ_INT(files.files[0].compression, MRI_PLAIN);
    mri_files_fini(&files);
    memory_disk_fini(&disk);
    MR_EXPECT_EQ_INT(mri_sniff("\x1f\x8b\x08", 3, false), MRI_GZIP);
    MR_EXPECT_EQ_INT(mri_sniff("\x28\xb5\x2f\xfd", 4, false), MRI_ZSTD);
    MR_EXPECT_EQ_INT(mri_sniff("(", 1, false), MRI_UNKNOWN);
    MR_EXPECT_EQ_INT(mri_sniff("(", 1, true), MRI_PLAIN);
    MR_EXPECT_EQ_INT(mri_sniff("(a", 2, false), MRI_PLAIN);
    MR_EXPECT_EQ_INT(mri_sniff("\x1f", 1, false), MRI_UNKNOWN);
}

MR_TEST(files, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();
    struct memory_disk disk;

    make_disk(&disk);
    MR_TORTURE(heap) {
        struct mri_files files;
        struct mr_error err;
        enum mr_status st;

        mri_files_init(&files, heap);
        st = mri_files_plan(&files, &disk.disk, "*/*.csv", &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mri_files_fini(&files);
    }
    memory_disk_fini(&disk);
}

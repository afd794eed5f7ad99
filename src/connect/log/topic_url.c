/* topic_url.c - the name of a topic and its options, as they are written on a command line. */
#include "connect/log/topic.h"

#include "base/time.h"

#include <string.h>

static const char scheme[] = "log://";

static bool digits(const char **at, uint64_t *out)
{
    uint64_t value = 0;
    const char *from = *at;

    while (**at >= '0' && **at <= '9' && value < UINT64_C(1) << 56) {
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    }
    *out = value;
    return *at != from && !(**at >= '0' && **at <= '9');
}

static bool parse_bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint32_t shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};

    if (!digits(&text, out)) return false;
    for (size_t i = 0; i < MR_COUNT(units); i++) {
        if (strcmp(text, units[i].name) != 0) continue;
        if (*out > UINT64_MAX >> 1 >> units[i].shift) return false;
        *out <<= units[i].shift;
        return true;
    }
    return false;
}

static bool parse_number(const char *text, uint64_t *out)
{
    return digits(&text, out) && *text == '\0';
}

static bool parse_time(const char *text, uint64_t *out)
{
    int64_t us;

    if (!mr_parse_duration(text, &us) || us <= 0) return false;
    *out = (uint64_t)us;
    return true;
}

static bool set_option(struct mri_topic_url *url, const char *name, const char *value)
{
    struct mri_topic_options *options = &url->options;

    if (strcmp(name, "follow") == 0 && value == NULL) {
        url->follow = true;
        return true;
    }
    if (value == NULL) return false;
    if (strcmp(name, "partitions") == 0) {
        return parse_number(value, &options->partitions) && options->partitions > 0 &&
               options->partitions <= MRI_TOPIC_PARTITIONS;
    }
    if (strcmp(name, "segment") == 0) {
        return parse_bytes(value, &options->segment_bytes) &&
               options->segment_bytes >= MRI_TOPIC_SEGMENT_MIN &&
               options->segment_bytes <= MRI_TOPIC_SEGMENT_MAX;
    }
    if (strcmp(name, "retain") == 0) {
        return parse_bytes(value, &options->retain_bytes) && options->retain_bytes > 0;
    }
    return strcmp(name, "retain-time") == 0 && parse_time(value, &options->retain_us);
}

/* `query` is cut up in place. */
static enum mr_status parse_query(struct mri_topic_url *url, char *query, struct mr_error *err)
{
    while (query != NULL && *query != '\0') {
        char *next = strchr(query, '&');
        char *value;

        if (next != NULL) *next++ = '\0';
        value = strchr(query, '=');
        if (value != NULL) *value++ = '\0';
        if (!set_option(url, query, value)) {
            return mr_error_set(err, MR_E_INVALID,
                                "%s%s: option '%s%s%s' is not understood; there are partitions=1..%u, "
                                "segment=SIZE (4KiB..4GiB), retain=SIZE, retain-time=DURATION and "
                                "follow, with & between",
                                scheme, url->path, query, value != NULL ? "=" : "",
                                value != NULL ? value : "", MRI_TOPIC_PARTITIONS);
        }
        query = next;
    }
    return MR_OK;
}

enum mr_status mri_topic_url_parse(struct mr_heap *heap, const char *url, struct mri_topic_url *out,
                                   struct mr_error *err)
{
    const char *from = strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : url;
    size_t size = strcspn(from, "?");
    char *query = NULL;
    enum mr_status st = MR_OK;

    memset(out, 0, sizeof *out);
    while (size > 1 && from[size - 1] == '/') size--;
    if (size == 0 || (size == 1 && from[0] == '/')) {
        return mr_error_set(err, MR_E_INVALID, "%s: a topic needs a name: log://DIR/topic", url);
    }
    out->path = mr_alloc(heap, size + 1);
    if (out->path == NULL) return mr_error_nomem(err, "the name of a topic", size);
    memcpy(out->path, from, size);
    out->path[size] = '\0';
    if (strchr(from, '?') != NULL) {
        query = mr_strdup(heap, strchr(from, '?') + 1);
        st = query == NULL ? mr_error_nomem(err, "the options of a topic", 0) : MR_OK;
        if (st == MR_OK) {
            size_t whole = strlen(query);

            st = parse_query(out, query, err);
            mr_free(heap, query, whole + 1);
        }
    }
    if (st != MR_OK) {
        mr_strfree(heap, out->path);
        out->path = NULL;
    }
    return st;
}

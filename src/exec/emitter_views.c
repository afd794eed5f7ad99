/* emitter_views.c - the views that a function writes: empty before, and do they point where they
 * may?
 *
 * Everything behind an emitter trusts views: equal texts have equal bytes, buffers exist. A view is
 * 16 bytes and most texts are words, so the check looks at eight views at once where the processor
 * can, and one by one only at groups with something else than short, padded texts in them.
 */
#include "exec/emitter_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- one by one ---- */

static bool is_padded(const struct mr_view *view)
{
    static const unsigned char pad[2 * MR_VIEW_INLINE] = {0,   0,   0,   0,   0,   0,   0,   0,
                                                          0,   0,   0,   0,   255, 255, 255, 255,
                                                          255, 255, 255, 255, 255, 255, 255, 255};
    const unsigned char *behind = pad + MR_VIEW_INLINE - view->size_bytes;
    uint64_t head, head_behind;
    uint32_t tail, tail_behind;

    memcpy(&head, view->u.inlined, 8);
    memcpy(&tail, view->u.inlined + 8, 4);
    memcpy(&head_behind, behind, 8);
    memcpy(&tail_behind, behind + 8, 4);
    return (head & head_behind) == 0 && (tail & tail_behind) == 0;
}

static bool is_good(const struct mr_view *view, uint32_t buffer_count)
{
    if (view->size_bytes <= MR_VIEW_INLINE) return is_padded(view);
    return view->u.far.buffer < buffer_count && view->size_bytes <= MR_TEXT_BYTES_MAX;
}

static uint32_t check_each(const struct mr_view *views, uint32_t first, uint32_t end,
                           uint32_t buffer_count)
{
    for (uint32_t i = first; i < end; i++) {
        if (!is_good(&views[i], buffer_count)) return i;
    }
    return end;
}

/* ---- eight at once ---- */

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))
#define GROUP 8
#define PAIRS (GROUP / 2)

/* Leaves of two views what must be small: the sizes, and the bytes behind inline texts. A size of
 * more than a byte may leave too much, so that the group is looked at again. */
AVX2 static __m256i leftovers(const struct mr_view *pair)
{
    const __m256i size = _mm256_setzero_si256(); /* byte 0 of each half */
    const __m256i place =
        _mm256_set_epi8(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 127, 127, 127, 127, /**/
                        11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 127, 127, 127, 127);
    __m256i views = _mm256_loadu_si256((const __m256i *)(const void *)pair);
    __m256i text = _mm256_cmpgt_epi8(_mm256_shuffle_epi8(views, size), place);

    return _mm256_andnot_si256(text, views);
}

AVX2 static bool all_short(const struct mr_view *group)
{
    const __m256i most = _mm256_set_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* behind the text */
                                         0, 0, 0, MR_VIEW_INLINE,            /* size */
                                         0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
                                         0, 0, 0, MR_VIEW_INLINE);
    __m256i left = leftovers(group);
    __m256i over;

    for (int i = 1; i < PAIRS; i++) left = _mm256_max_epu8(left, leftovers(group + 2 * i));
    over = _mm256_subs_epu8(left, most);
    return _mm256_testz_si256(over, over) != 0;
}

/* The views of the first groups that have nothing else in them. */
AVX2 static uint32_t count_short(const struct mr_view *views, uint32_t count)
{
    const struct mr_view *at = views;

    for (uint32_t groups = count / GROUP; groups > 0 && all_short(at); groups--) at += GROUP;
    return (uint32_t)(at - views);
}

static uint32_t check_groups(const struct mr_view *views, uint32_t count, uint32_t buffer_count)
{
    uint32_t at = 0;

    while (at < count) {
        uint32_t end;
        uint32_t bad;

        at += count_short(views + at, count - at);
        end = MR_MIN(count, at + GROUP);
        bad = check_each(views, at, end, buffer_count);
        if (bad < end) return bad;
        at = end;
    }
    return count;
}

/* Plain stores: for a memset of this size compilers and libraries choose string instructions, which
 * are slow to start. */
AVX2 static uint32_t empty_groups(struct mr_view *views, uint32_t count)
{
    struct mr_view *at = views;

    for (uint32_t groups = count / GROUP; groups > 0; groups--, at += GROUP) {
        for (int i = 0; i < PAIRS; i++) {
            _mm256_storeu_si256((__m256i *)(void *)(at + 2 * i), _mm256_setzero_si256());
        }
    }
    return (uint32_t)(at - views);
}

#endif

void mri_views_empty(struct mr_view *views, uint32_t count)
{
    uint32_t done = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) done = empty_groups(views, count);
#endif
    memset(views + done, 0, (count - done) * sizeof *views);
}

uint32_t mri_views_check(const struct mr_view *views, uint32_t count, uint32_t buffer_count)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return check_groups(views, count, buffer_count);
#endif
    return check_each(views, 0, count, buffer_count);
}

/* A row of more than NARROW classes: where they lie, or are brought, a chunk at a time; its maximum, and the scale of
 * its exponentials. */
#ifndef FASTLOSS_WIDE_ROW_H
#define FASTLOSS_WIDE_ROW_H

#include "narrow_rows.h"

/* Four units are added pairwise before they enter a compensated sum: long runs of equal terms would otherwise drift by
 * a quarter ULP a term. */
enum { STRIP = 4 * LANES };

/* What fits on the stack: a row, or several short ones, that cannot be used where they lie. 16 kB. */
enum { STAGE = 16384 / (int)sizeof(T) };

/* The largest entry of each lane, NaN being passed over, and minus the number of the first strip that has it. */
typedef struct {
    vf maximum[UNIT], strip[UNIT];
} lane_maxima;

FL_INLINE void add_strip_maximum(lane_maxima *m, const vf largest[UNIT], fl_size number)
{
    FL_UNROLL
    for (int k = 0; k < UNIT; k++) {
        m->strip[k] = v_where_lt(m->maximum[k], largest[k], v_set(-(T)number), m->strip[k]);
        m->maximum[k] = v_max(largest[k], m->maximum[k]);
    }
}

/* Where classes of float16 or of type T lie. `halves` is a constant in all loops. */
FL_INLINE const void *classes_at(const void *x, int halves, fl_size i)
{
    return (const char *)x + i * (halves ? 2 : (fl_size)sizeof(T));
}

/* The largest of n entries; *strip is the first that has it. */
FL_INLINE T find_maximum(const void *x, int halves, fl_size n, fl_size *strip)
{
    const vf least = v_set((T)-INFINITY);
    lane_maxima m;
    vf largest[UNIT];
    fl_size i = 0;
    for (int k = 0; k < UNIT; k++) {
        m.maximum[k] = least;
        m.strip[k] = v_set(0);
    }
    for (; i + STRIP <= n; i += STRIP) {
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            largest[k % UNIT] = v_max(v_load_classes(x, halves, i + k * WIDTH, WIDTH, least),
                                      k < UNIT ? least : largest[k % UNIT]);
        add_strip_maximum(&m, largest, i / STRIP);
    }
    if (i < n) {
        for (int k = 0; k < UNIT; k++)
            largest[k] = least;
        for (fl_size at = i; at < n; at += WIDTH)
            largest[0] = v_max(v_load_classes(x, halves, at, n - at, least), largest[0]);
        add_strip_maximum(&m, largest, i / STRIP);
    }
    vf maximum = m.maximum[0], first = least;
    for (int k = 1; k < UNIT; k++)
        maximum = v_max(m.maximum[k], maximum);
    const T result = v_largest_lane(maximum);
    for (int k = 0; k < UNIT; k++)
        first = v_max(v_where_eq(m.maximum[k], v_set(result), m.strip[k], least), first);
    *strip = (fl_size)-v_largest_lane(first);
    return result;
}

/* The strip in which a row's maximum lies. What is added up over the row leaves one maximum out; with this copy, which
 * has none, in the place of the strip, no other strip need compare, and no branch depend on where it is. */
typedef struct {
    FL_ALIGNED T x[STRIP], exps[STRIP]; /* the classes as they lie in the row, but -inf for the maximum and beyond the
                                         * row; exponentials of the maximum, 0 for all else */
    int ties;                           /* how many have the maximum, if that is a number */
} top_strip;

/* The rows of a job, and one of them on its way through the passes. */
typedef struct {
    /* input, exponentials or gradient of a chunk of classes, if they do not lie in memory of type T */
    FL_ALIGNED T stage[STAGE];
    T target_chunk[CHUNK], weight_chunk[CHUNK], hess_chunk[CHUNK];
    const fl_rows_job *job;
    const T *input, *target, *weight; /* all of their memory, or NULL */
    T *all_grad, *all_hess;
    char *input_halves, *grad_halves; /* the same of float16, where it is converted on the way */
    int keep; /* the exponentials, in the gradient's memory */
    int stage_input, stage_grad; /* they lie in `stage`, which begins with row `staged` of the group */
    int staged;
    fl_size step;  /* classes a chunk */
    fl_size next;  /* how far ahead to fetch input */
    const char *ahead; /* what to fetch while a chunk is added up */
    fl_size ahead_step; /* bytes a class */
    char *results; /* the memory of the gradient, to be fetched too before it is written */
    fl_size results_step; /* bytes a class; 0 if there is none, or it is not contiguous, or better not fetched */
    int lane;
    fl_size start; /* of the row in the flat views */
    const T *x;    /* its memory, or NULL */
    const T *target_piece; /* what of its target belongs to a chunk, if that has been brought to the stack */
    const char *x_halves;
    T *grad, *hess;
    exp_scale scale;
    vf maximum;
    top_strip top;
    T offset[GROUP], magic[GROUP], lowest[GROUP], top_exp[GROUP]; /* scales of the group's rows; the maxima on them */
    fl_size top_start[GROUP]; /* first class of the strip of each maximum */
} wide_row;

/* Where the processor does not convert float16, the compiler is to know that these are NULL. */
FL_INLINE const char *x_halves(const wide_row *r) { return FL_CONVERTS_HALVES ? r->x_halves : NULL; }
FL_INLINE char *grad_halves(const wide_row *r) { return FL_CONVERTS_HALVES ? r->grad_halves : NULL; }

/* n elements of a view, where they lie if they may be read there. */
static const T *chunk_of(const fl_view *view, const T *direct, fl_size start, fl_size n, T *scratch)
{
    if (direct)
        return direct + start;
    view_read(view, start, n, scratch);
    return scratch;
}

/* Where results from one class on lie, to be fetched: the thread's own memory if nothing is. */
static char *results_from(wide_row *r, fl_size at)
{
    return r->results_step ? r->job->grad.data + at * r->results_step : (char *)r->stage;
}

static const T *row_chunk(wide_row *r, fl_size c, fl_size n)
{
    return r->x ? r->x + c : chunk_of(&r->job->input, NULL, r->start + c, n, r->stage);
}

/* What the target spreads over the classes of a chunk: weight (kept target + uniform), of which weight and target
 * may be missing. */
typedef struct {
    const T *target, *weight;
    smoothed_share share;
} row_base;

static row_base base_chunk(wide_row *r, fl_size c, fl_size n)
{
    const fl_rows_job *job = r->job;
    row_base base = {NULL, NULL, share_of(job)};
    if (job->target.data)
        base.target = r->target_piece;
    if (job->target.data && !base.target)
        base.target = chunk_of(&job->target, r->target, r->start + c, n, r->target_chunk);
    if (job->weight.data)
        base.weight = chunk_of(&job->weight, r->weight, c, n, r->weight_chunk);
    return base;
}

/* Of classes [i, i + n) of the chunk; 0 in the lanes from n on. */
FL_INLINE vf v_base(const row_base *base, fl_size i, fl_size n)
{
    vf b = base->share.uniform;
    if (base->target)
        b = v_smoothed(&base->share, v_load_up_to(base->target + i, n, v_set(0)));
    if (base->weight)
        b = v_load_up_to(base->weight + i, n, v_set(0)) * b;
    return v_first_lanes(b, n, v_set(0));
}

static T base_at(const row_base *base, fl_size i)
{
    T lanes[WIDTH];
    v_store(lanes, v_base(base, i, 1));
    return lanes[0];
}

/* The scale of the row. */
FL_INLINE void select_scale(wide_row *r)
{
    r->scale = (exp_scale){v_set(r->offset[r->lane]), v_set(r->magic[r->lane]), v_set(r->lowest[r->lane])};
}

/* Scales of rows [first, last) of the group, from their maxima. */
static void scale_rows(wide_row *r, int first, int last, row_group *g)
{
    for (int l = first; l < last; l += WIDTH) {
        const int n = last - l;
        const vf maximum = v_load_up_to(g->maximum + l, n, v_set(0));
        const exp_scale scale = v_exp_scale(maximum);
        const pair unit = v_exp_unit(maximum, scale);
        v_store_up_to(r->offset + l, n, scale.offset);
        v_store_up_to(r->magic + l, n, scale.magic);
        v_store_up_to(r->lowest + l, n, scale.lowest);
        v_store_up_to(r->top_exp + l, n, v_exp_scaled(maximum, scale));
        v_store_up_to(g->unit + l, n, unit.hi);
        v_store_up_to(g->unit_low + l, n, unit.lo);
    }
}

/* How many classes are searched together for a maximum: strips are numbered in T. */
enum { PIECE = 1 << 20 };

static fl_size piece_of(const wide_row *r) { return r->step < PIECE ? r->step : PIECE; }

/* The largest class so far and the first of the strip in which it lies, n classes from c on being added. */
FL_INLINE void take_maximum(const void *x, int halves, fl_size c, fl_size n, T *maximum, int64_t *start)
{
    fl_size strip;
    const T largest = find_maximum(x, halves, n, &strip);
    *start = largest > *maximum ? c + strip * STRIP : *start;
    *maximum = largest > *maximum ? largest : *maximum;
}

/* The same of a whole row. */
static void row_maximum(wide_row *r, T *maximum, int64_t *start)
{
    const fl_size n_classes = r->job->n_classes, piece = piece_of(r);
    *maximum = (T)-INFINITY;
    *start = 0;
    for (fl_size c = 0; c < n_classes; c += piece) {
        fl_size n = n_classes - c < piece ? n_classes - c : piece;
        if (x_halves(r))
            take_maximum(x_halves(r) + 2 * c, 1, c, n, maximum, start);
        else
            take_maximum(row_chunk(r, c, n), 0, c, n, maximum, start);
    }
}

#endif

/* Wide rows that lie closer together than the classes of one row (see columns.h), as in logsumexp over the first axis:
 * what lies in one line of memory is brought to the stack together, so many classes at a time, and transposed on the
 * way into pieces of rows. Maxima, sums and derivatives are then those of wide_rows.h, each a walk of its own: a line
 * is read three times, not once for each of its rows. (1000 classes 16 kB apart took seven times as long.) What most
 * calls want goes to wide_lanes.h first, which is faster. */
#ifndef FASTLOSS_WIDE_COLUMNS_H
#define FASTLOSS_WIDE_COLUMNS_H

#include "wide_lanes.h"

/* Classes of each of LANES rows that `stage` holds at once: whole strips. */
enum { COLUMN_STEP = STAGE / LANES };

/* Each piece p of a job's rows, and each row l of it that counts; `at` is where that begins on a stage. */
#define FOR_PIECES(p, job, from, to)                                                                         \
    for (column_piece p = {.first = from, .last = to, .step = COLUMN_STEP};                                  \
         p.c < (job)->n_classes && (p.n = piece_length(job, p.c), 1); p.c += COLUMN_STEP)
#define FOR_ROWS_OF_PIECE(l, at, p, g)                                                                     \
    for (int l = (p).first, at = 0; l < (p).last; l++, at += COLUMN_STEP)                                  \
        if ((g)->label[l] != SKIPPED)

static fl_size piece_length(const fl_rows_job *job, fl_size c)
{
    const fl_size left = job->n_classes - c;
    return left < COLUMN_STEP ? left : COLUMN_STEP;
}

/* How many rows of the group from `first` on are to be taken together: *in_lines if they fill a line, else those up to
 * the next that might. (Fewer take less time row by row: two rows of 20,000 classes a fifth of it, 15 of 1000 half of
 * it with AVX2. So does what has to be converted one by one, unless the classes' lines drive each other out of the
 * caches.) */
static int rows_together(const fl_rows_job *job, fl_size row, int first, int n, int *in_lines)
{
    column_run r;
    *in_lines = 0;
    if (!fl_lies_in_columns(&job->input, job->n_classes))
        return n - first;
    open_columns(&job->input, row, first, n, &r);
    *in_lines = r.n >= LANES && (r.direct || r.halves || r.class_step % 4096 == 0);
    return *in_lines && r.n > LANES ? LANES : r.n;
}

/* A piece of the group that begins with `row`. */
static FL_OUTLINE void piece_to_stage(const fl_rows_job *job, const fl_view *view, fl_size row, column_piece p,
                                      T *stage)
{
    if (fl_lies_in_columns(view, job->n_classes))
        read_piece(view, row, &p, stage);
    else
        for (int l = p.first; l < p.last; l++)
            view_read(view, (row + l) * job->n_classes + p.c, p.n, stage + (l - p.first) * COLUMN_STEP);
}

/* Derivatives; those of skipped rows are 0. */
static FL_OUTLINE void piece_from_stage(const fl_rows_job *job, const fl_view *view, fl_size row, column_piece p,
                                        const row_group *g, T *stage)
{
    for (int l = p.first; l < p.last; l++)
        if (g->label[l] == SKIPPED)
            memset(stage + (l - p.first) * COLUMN_STEP, 0, (size_t)p.n * sizeof(T));
    if (fl_lies_in_columns(view, job->n_classes))
        write_piece(view, row, &p, stage);
    else
        for (int l = p.first; l < p.last; l++)
            view_write(view, (row + l) * job->n_classes + p.c, p.n, stage + (l - p.first) * COLUMN_STEP);
}

/* Pieces of the target and of the Hessian; that of the input is on the stage of wide_row. */
typedef struct {
    FL_ALIGNED T target[STAGE], hess[STAGE];
} more_stages;

static void stage_classes(wide_row *r, fl_size row, column_piece p, more_stages *more)
{
    const fl_rows_job *job = r->job;
    piece_to_stage(job, &job->input, row, p, r->stage);
    if (job->target.data)
        piece_to_stage(job, &job->target, row, p, more->target);
}

/* The row whose piece begins at `at`. */
static void select_piece(wide_row *r, fl_size row, int l, int at, const more_stages *more)
{
    select_row(r, row, l);
    r->target_piece = r->job->target.data ? more->target + at : NULL;
}

static void maxima_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    const fl_rows_job *job = r->job;
    for (int l = first; l < last; l++) {
        g->maximum[l] = g->label[l] == SKIPPED ? 0 : (T)-INFINITY;
        g->top[l] = 0;
        if (g->label[l] >= 0)
            g->label_logit[l] = view_at(&job->input, (row + l) * job->n_classes + g->label[l]);
    }
    FOR_PIECES(p, job, first, last)
    {
        piece_to_stage(job, &job->input, row, p, r->stage);
        FOR_ROWS_OF_PIECE(l, at, p, g) take_maximum(r->stage + at, 0, p.c, p.n, &g->maximum[l], &g->top[l]);
    }
}

static void sums_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g, more_stages *more)
{
    const fl_rows_job *job = r->job;
    row_state states[LANES];
    for (int l = first; l < last; l++) {
        select_row(r, row, l);
        open_statistics(r, g, &states[l - first]);
    }
    FOR_PIECES(p, job, first, last)
    {
        stage_classes(r, row, p, more);
        FOR_ROWS_OF_PIECE(l, at, p, g)
        {
            select_piece(r, row, l, at, more);
            add_chunk_of_row(r, g, &states[l - first], p.c, p.n, r->stage + at, NULL);
        }
    }
    for (int l = first; l < last; l++)
        if (g->label[l] != SKIPPED) {
            select_row(r, row, l);
            close_statistics(r, &states[l - first], g);
        }
}

static void derivatives_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g, more_stages *more)
{
    const fl_rows_job *job = r->job;
    T logs[GROUP];
    row_factors factors;
    if (job->op == FL_LOG_SOFTMAX)
        group_logs(g, logs);
    else
        load_factors(job, g, first, last, &factors);
    FOR_PIECES(p, job, first, last)
    {
        stage_classes(r, row, p, more);
        FOR_ROWS_OF_PIECE(l, at, p, g)
        {
            T *x = r->stage + at, *hess = job->hess.data ? more->hess + at : NULL;
            select_piece(r, row, l, at, more);
            if (job->op == FL_LOG_SOFTMAX)
                log_softmax_of_chunk(x, p.n, g->maximum[l], logs[l], x);
            else
                gradient_of_chunk(r, g, &factors, p.c, p.n, x, x, hess);
        }
        piece_from_stage(job, &job->grad, row, p, g, r->stage);
        if (job->hess.data)
            piece_from_stage(job, &job->hess, row, p, g, more->hess);
    }
}

/* Rows [first, last) of a group: LANES of them at most. */
static FL_OUTLINE void wide_columns(const fl_rows_job *job, fl_size row, int first, int last, row_group *g)
{
    wide_row r = open_pieces(job, COLUMN_STEP);
    more_stages more;
    maxima_of_columns(&r, row, first, last, g);
    scale_rows(&r, first, last, g);
    sums_of_columns(&r, row, first, last, g, &more);
    label_exponentials(first, last, g);
    if (job->op == FL_SOFTMAX_FOCAL)
        focal_factors(job, g, first, last);
    if (job->grad.data)
        derivatives_of_columns(&r, row, first, last, g, &more);
}

static void wide_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    lane_rows lanes;
    for (int first = 0, in_lines, together; first < n; first += together) {
        together = WALKS_LANES ? open_lanes(job, row, first, n, &lanes) : 0;
        if (together) {
            wide_lanes(&lanes, row, g);
            continue;
        }
        together = rows_together(job, row, first, n, &in_lines);
        if (in_lines)
            wide_columns(job, row, first, first + together, g);
        else
            wide_rows(job, row, first, first + together, g);
    }
}

#endif

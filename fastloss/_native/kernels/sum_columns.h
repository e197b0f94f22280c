/* The operations of sum_terms.h on wide rows that lie closer together than the classes of one row: line by line, as in
 * wide_columns.h. */
#ifndef FASTLOSS_SUM_COLUMNS_H
#define FASTLOSS_SUM_COLUMNS_H

#include "sum_rows.h"

/* Pieces of input and target, or, of the margin losses, which have none, of the Hessian. */
typedef struct {
    FL_ALIGNED T x[STAGE], t[STAGE];
} sum_stages;

static void stage_piece(const fl_rows_job *job, fl_size row, column_piece p, sum_stages *stages)
{
    piece_to_stage(job, &job->input, row, p, stages->x);
    if (!is_margin(job->op))
        piece_to_stage(job, &job->target, row, p, stages->t);
}

static void sums_of_lines(const fl_rows_job *job, fl_size row, int first, int last, row_group *g, sum_rows *s,
                          sum_stages *stages)
{
    sum_state states[LANES];
    for (int l = first; l < last; l++)
        states[l - first] = NO_SUM_STATE;
    FOR_PIECES(p, job, first, last)
    {
        stage_piece(job, row, p, stages);
        FOR_ROWS_OF_PIECE(l, at, p, g)
        {
            const T *t = is_margin(job->op) ? NULL : stages->t + at;
            sum_chunk(job, g, s, l, p.c, p.n, stages->x + at, t, &states[l - first]);
        }
    }
    for (int l = first; l < last; l++)
        if (g->label[l] != SKIPPED)
            finish_sums(job, l, states[l - first].totals, g, s);
}

static void slopes_of_lines(const fl_rows_job *job, fl_size row, int first, int last, row_group *g, sum_rows *s,
                            sum_stages *stages)
{
    const int with_hess = has_curvatures(job);
    FOR_PIECES(p, job, first, last)
    {
        stage_piece(job, row, p, stages);
        FOR_ROWS_OF_PIECE(l, at, p, g)
        {
            T *x = stages->x + at, *t = stages->t + at;
            differentiate_chunk(job, g, s, l, p.c, p.n, x, is_margin(job->op) ? NULL : t, x, with_hess ? t : NULL);
        }
        piece_from_stage(job, &job->grad, row, p, g, stages->x);
        if (with_hess)
            piece_from_stage(job, &job->hess, row, p, g, stages->t);
    }
}

/* Rows [first, last) of a group: LANES of them at most. */
static FL_OUTLINE void sum_columns(const fl_rows_job *job, fl_size row, int first, int last, row_group *g, sum_rows *s,
                                   fl_rows_partial *partial)
{
    sum_stages stages;
    sums_of_lines(job, row, first, last, g, s, &stages);
    if (job->op == FL_PROBABILITY_CROSS_ENTROPY)
        note_no_probabilities(job, row, first, last, s, partial);
    else if (job->grad.data)
        slopes_of_lines(job, row, first, last, g, s, &stages);
}

static void wide_sum_group(const fl_rows_job *job, fl_size row, int n, row_group *g, sum_rows *s,
                           fl_rows_partial *partial)
{
    wide_labels(job, row, n, g, s);
    for (int first = 0, in_lines, together; first < n; first += together) {
        together = rows_together(job, row, first, n, &in_lines);
        if (in_lines)
            sum_columns(job, row, first, first + together, g, s, partial);
        else
            wide_sum_rows(job, row, first, first + together, g, s, partial);
    }
}

static FL_OUTLINE void sum_group(const fl_rows_job *job, fl_size row, int n, row_group *g, fl_rows_partial *partial)
{
    sum_rows s;
    memset(&s, 0, sizeof s);
    if (job->n_classes <= NARROW)
        narrow_sum_group(job, row, n, g, &s, partial);
    else
        wide_sum_group(job, row, n, g, &s, partial);
}

#endif

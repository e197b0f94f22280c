/* The kernel of the softmax family: one block of rows of one job. */
#ifndef FASTLOSS_ROWS_H
#define FASTLOSS_ROWS_H

#include "sum_rows.h"

/* nll_loss reads one class of each row and writes one non-zero. */
static void nll_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    T *grad = job->grad.data ? view_direct(&job->grad) : NULL;
    for (int l = 0; l < n; l++) {
        fl_size start = (row + l) * job->n_classes, at = start + g->label[l];
        if (g->label[l] >= 0) /* before the gradient, which may be written over the input */
            g->label_logit[l] = view_at(&job->input, at);
        zero_row(&job->grad, start, job->n_classes);
        zero_row(&job->hess, start, job->n_classes);
        if (g->label[l] >= 0 && job->grad.data) {
            T slope = (T)(-g->own[l] * g->scale[l]);
            if (grad)
                grad[at] = slope;
            else
                view_write(&job->grad, at, 1, &slope);
        }
    }
}

static void run_rows(const fl_rows_job *job, fl_size block, fl_rows_partial *partial)
{
    fl_size first, last;
    block_bounds(job, block, &first, &last);
    lane_totals sums[GROUP / LANES] = {{{0}, {0}}};
    row_group g;
    g.plain = 0;
    const int rows = rows_of_group(job->n_classes);
    for (fl_size row = first; row < last; row += rows) {
        int n = last - row < rows ? (int)(last - row) : rows;
        /* loops of constant length become vectors: they compute with the lanes beyond the rows, too, which load_group
         * fills but for what the other losses add (all of it would be a tenth of a small call) */
        if (n % LANES && job->op >= FL_SOFTMAX_FOCAL)
            memset(&g, 0, sizeof g);
        g.lanes = (n + WIDTH - 1) / WIDTH * WIDTH;
        load_group(job, row, n, &g);
        if (job->op >= FL_MULTI_MARGIN)
            sum_group(job, row, n, &g, partial);
        else if (job->op == FL_NLL)
            nll_group(job, row, n, &g);
        else if (job->n_classes <= NARROW)
            narrow_group(job, row, n, &g);
        else
            wide_group(job, row, n, &g);
        if (job->op == FL_SOFTMAX_FOCAL) {
            memcpy(g.own, g.loss_weight, sizeof g.own);
            memcpy(g.total, g.loss_weight, sizeof g.total);
        }
        if (job->want_sum || job->value.data)
            finish_group(job, row, n, &g, sums);
    }
    for (int i = 0; i < GROUP / LANES && i * LANES < last - first; i++)
        add_lanes(&partial->loss, &sums[i]);
}

#endif

/* The kernel of the softmax family: one block of rows of one job. */
#ifndef FASTLOSS_ROWS_H
#define FASTLOSS_ROWS_H

#include "sum_columns.h"

/* The logits at the labels. */
static void label_logits(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const T *direct = view_direct(&job->input);
    if (fl_lies_in_columns(&job->input, job->n_classes)) {
        read_from_columns(&job->input, row, n, g->label, g->label_logit);
        return;
    }
    for (int l = 0; l < n; l++) {
        const fl_size at = (row + l) * job->n_classes + g->label[l];
        if (g->label[l] >= 0)
            g->label_logit[l] = direct ? direct[at] : view_at(&job->input, at);
    }
}

/* One class of each row, and 0 for the others. */
static void store_at_labels(const fl_rows_job *job, const fl_view *view, fl_size row, int n, const row_group *g,
                            const T *value)
{
    enum { TOGETHER = 16384 / (int)sizeof(T) }; /* elements: cleared, they are still in the first cache */
    const fl_size n_classes = job->n_classes;
    const int step = n_classes < TOGETHER ? (int)(TOGETHER / n_classes) : 1;
    T *direct = view_direct(view);
    if (fl_lies_in_columns(view, n_classes)) {
        write_to_columns(view, row, n, n_classes, g->label, value);
        return;
    }
    for (int first = 0; first < n; first += step) {
        const int last = n - first < step ? n : first + step;
        zero_row(view, (row + first) * n_classes, (last - first) * n_classes);
        for (int l = first; l < last; l++) {
            const fl_size at = (row + l) * n_classes + g->label[l];
            if (g->label[l] >= 0 && direct)
                direct[at] = value[l];
            else if (g->label[l] >= 0)
                view_write(view, at, 1, (T[]){value[l]});
        }
    }
}

/* nll_loss reads one class of each row, before it writes one, which may be in the same memory. */
static void nll_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    T slope[GROUP], none[GROUP] = {0};
    label_logits(job, row, n, g);
    FOR_LANES(l, g) slope[l] = (T)(-g->own[l] * g->scale[l]);
    if (job->grad.data)
        store_at_labels(job, &job->grad, row, n, g, slope);
    if (job->hess.data)
        store_at_labels(job, &job->hess, row, n, g, none);
}

/* What each of single rows adds to the partial of its own block. */
static void add_single_rows(const lane_totals *sums, fl_size n, fl_rows_partial *partials)
{
    for (fl_size l = 0; l < n; l++) {
        fl_add(&partials[l].loss, sums[l / LANES].hi[l % LANES]);
        partials[l].loss.lo += sums[l / LANES].lo[l % LANES];
    }
}

/* A block, or `together` of them, each of one row of a single group. */
static void run_rows(const fl_rows_job *job, fl_size block, fl_rows_partial *partial)
{
    fl_size first, last;
    block_bounds(job, block, &first, &last);
    if (job->together > 1)
        last = job->n_rows - first < job->together ? job->n_rows : first + job->together;
    lane_totals sums[GROUP / LANES] = {{{0}, {0}}};
    row_group g;
    g.plain = 0;
    const int in_tile = rows_of_tile(job->n_classes), fills = fills_group(job), rows = fills ? GROUP : in_tile;
    for (fl_size row = first; row < last; row += rows) {
        int n = last - row < rows ? (int)(last - row) : rows;
        /* loops of constant length become vectors: they compute with the lanes beyond the rows, too, which load_group
         * fills but for what the other losses add (all of it was 7 % of a small call) */
        if (n % LANES && job->op >= FL_SOFTMAX_FOCAL)
            memset(&g, 0, sizeof g);
        g.lanes = (n + WIDTH - 1) / WIDTH * WIDTH;
        load_group(job, row, n, &g);
        if (job->op >= FL_MULTI_MARGIN)
            sum_group(job, row, n, &g, partial);
        else if (job->op == FL_NLL)
            nll_group(job, row, n, &g);
        else if (job->n_classes <= NARROW)
            (fills ? narrow_columns : narrow_rows)(job, row, n, &g);
        else
            wide_group(job, row, n, &g);
        if (job->op == FL_SOFTMAX_FOCAL) {
            memcpy(g.own, g.loss_weight, sizeof g.own);
            memcpy(g.total, g.loss_weight, sizeof g.total);
        }
        if (job->want_sum || job->value.data)
            finish_group(job, row, n, in_tile, &g, sums);
    }
    if (job->together > 1)
        add_single_rows(sums, last - first, partial);
    else
        for (int i = 0; i < GROUP / LANES && i * LANES < last - first; i++)
            add_lanes(&partial->loss, &sums[i]);
}

#endif

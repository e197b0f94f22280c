/* Wide rows that lie closer together than the classes of one row (see columns.h), as in logsumexp over the first axis:
 * what lies in one line of memory is brought to the stack together, so many classes at a time, and transposed on the
 * way into pieces of rows. Maxima, sums and derivatives are then those of wide_rows.h, each a walk of its own: a line
 * is read three times, not once for each of its rows. (1000 classes 16 kB apart took seven times as long.) */
#ifndef FASTLOSS_WIDE_COLUMNS_H
#define FASTLOSS_WIDE_COLUMNS_H

#include "wide_rows.h"

/* Classes of each of LANES rows that `stage` holds at once: whole strips. */
enum { COLUMN_STEP = STAGE / LANES };

/* QUAD classes of LANES rows side by side, to or from rows `step` apart. */
FL_INLINE void transpose_lines(char *p, fl_size class_step, T *rows, fl_size step, int to_stage)
{
    STRIP_LOOP
    for (int lane = 0; lane < LANES; lane += WIDTH) {
        vf quad[QUAD];
        FL_UNROLL
        for (int i = 0; i < QUAD; i++)
            quad[i] = to_stage ? v_load((const T *)(p + i * class_step) + lane)
                               : v_load_quads(rows + (lane + i) * step, QUAD * step);
        v_transpose_quads(quad);
        FL_UNROLL
        for (int i = 0; i < QUAD; i++)
            if (to_stage)
                v_store_quads(rows + (lane + i) * step, QUAD * step, quad[i]);
            else
                v_store((T *)(p + i * class_step) + lane, quad[i]);
    }
}

/* The same of fewer rows, to or from the stage. */
static FL_OUTLINE void transpose_part(char *p, fl_size class_step, int n_rows, T *stage, int to_stage)
{
    T lines[QUAD][LANES] = {{0}}, rows[LANES][QUAD] = {{0}};
    const size_t length = (size_t)n_rows * sizeof(T);
    if (to_stage) {
        for (int i = 0; i < QUAD; i++)
            memcpy(lines[i], p + i * class_step, length);
        transpose_lines((char *)lines, sizeof *lines, rows[0], QUAD, 1);
        for (int l = 0; l < n_rows; l++)
            memcpy(stage + l * COLUMN_STEP, rows[l], sizeof rows[l]);
        return;
    }
    for (int l = 0; l < n_rows; l++)
        memcpy(rows[l], stage + l * COLUMN_STEP, sizeof rows[l]);
    transpose_lines((char *)lines, sizeof *lines, rows[0], QUAD, 0);
    for (int i = 0; i < QUAD; i++)
        memcpy(p + i * class_step, lines[i], length);
}

/* Classes [c, c + n) of rows [first, last) of the group that begins with `row`, to or from the stage. */
FL_INLINE void move_columns(const fl_view *view, fl_size n_classes, fl_size row, int first, int last, fl_size c,
                            fl_size n, T *stage, int to_stage)
{
    column_run r;
    T line[LANES];
    for (int lane = first; lane < last; lane += r.n) {
        open_columns(view, row, lane, last, n_classes, &r);
        T *rows = stage + (lane - first) * COLUMN_STEP;
        char *p = r.first + c * r.class_step;
        fl_size k = 0;
        for (; r.direct && k + QUAD <= n; k += QUAD)
            if (r.n == LANES)
                transpose_lines(p + k * r.class_step, r.class_step, rows + k, COLUMN_STEP, to_stage);
            else
                transpose_part(p + k * r.class_step, r.class_step, r.n, rows + k, to_stage);
        for (; k < n; k++) {
            for (int l = 0; l < r.n && !to_stage; l++)
                line[l] = rows[l * COLUMN_STEP + k];
            (to_stage ? read_run : write_run)(view, p + k * r.class_step, r.row_step, r.n, line);
            for (int l = 0; l < r.n && to_stage; l++)
                rows[l * COLUMN_STEP + k] = line[l];
        }
    }
}

static FL_OUTLINE void columns_to_stage(wide_row *r, fl_size row, int first, int last, fl_size c, fl_size n)
{
    move_columns(&r->job->input, r->job->n_classes, row, first, last, c, n, r->stage, 1);
}

/* The gradients of a piece; those of skipped rows are 0. */
static FL_OUTLINE void stage_to_gradients(wide_row *r, fl_size row, int first, int last, fl_size c, fl_size n,
                                          const row_group *g)
{
    const fl_view *grad = &r->job->grad;
    const fl_size n_classes = r->job->n_classes;
    for (int l = first; l < last; l++)
        if (g->label[l] == SKIPPED)
            memset(r->stage + (l - first) * COLUMN_STEP, 0, (size_t)n * sizeof(T));
    if (fl_lies_in_columns(grad, n_classes))
        move_columns(grad, n_classes, row, first, last, c, n, r->stage, 0);
    else
        for (int l = first; l < last; l++)
            view_write(grad, (row + l) * n_classes + c, n, r->stage + (l - first) * COLUMN_STEP);
}

static fl_size piece_length(const wide_row *r, fl_size c)
{
    const fl_size left = r->job->n_classes - c;
    return left < COLUMN_STEP ? left : COLUMN_STEP;
}

/* Each piece [c, c + n) of the classes, and each row l that counts, whose piece lies at x. */
#define FOR_PIECES(c, n) \
    for (fl_size c = 0, n; c < r->job->n_classes && (n = piece_length(r, c), 1); c += COLUMN_STEP)
#define FOR_ROWS_OF_PIECE(l, x)                                                                            \
    for (int l = first; l < last; l++)                                                                     \
        for (T *x = g->label[l] != SKIPPED ? r->stage + (l - first) * COLUMN_STEP : NULL; x; x = NULL)

static void maxima_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    for (int l = first; l < last; l++) {
        g->maximum[l] = g->label[l] == SKIPPED ? 0 : (T)-INFINITY;
        g->top[l] = 0;
        if (g->label[l] >= 0)
            g->label_logit[l] = view_at(&r->job->input, (row + l) * r->job->n_classes + g->label[l]);
    }
    FOR_PIECES(c, n)
    {
        columns_to_stage(r, row, first, last, c, n);
        FOR_ROWS_OF_PIECE(l, x) take_maximum(x, 0, c, n, &g->maximum[l], &g->top[l]);
    }
}

static void sums_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    row_state states[LANES];
    for (int l = first; l < last; l++) {
        select_row(r, row, l);
        open_statistics(r, g, &states[l - first]);
    }
    FOR_PIECES(c, n)
    {
        columns_to_stage(r, row, first, last, c, n);
        FOR_ROWS_OF_PIECE(l, x)
        {
            select_row(r, row, l);
            add_chunk_of_row(r, g, &states[l - first], c, n, x, NULL);
        }
    }
    for (int l = first; l < last; l++)
        if (g->label[l] != SKIPPED) {
            select_row(r, row, l);
            close_statistics(r, &states[l - first], g);
            if (r->job->op == FL_LOGSUMEXP && g->maximum[l] - g->maximum[l] != 0)
                infinite_logsumexp(r, g);
        }
}

static void derivatives_of_columns(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    T logs[GROUP];
    row_factors factors;
    if (r->job->op == FL_LOG_SOFTMAX)
        group_logs(g, logs);
    else
        load_factors(r->job, g, first, last, &factors);
    FOR_PIECES(c, n)
    {
        columns_to_stage(r, row, first, last, c, n);
        FOR_ROWS_OF_PIECE(l, x)
        {
            select_row(r, row, l);
            if (r->job->op == FL_LOG_SOFTMAX)
                log_softmax_of_chunk(x, n, g->maximum[l], logs[l], x);
            else
                gradient_of_chunk(r, g, &factors, c, n, x, x);
        }
        stage_to_gradients(r, row, first, last, c, n, g);
    }
    for (int l = first; l < last; l++)
        if (g->label[l] == SKIPPED)
            zero_row(&r->job->hess, (row + l) * r->job->n_classes, r->job->n_classes);
}

static FL_OUTLINE void wide_columns_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    wide_row r = open_rows(job);
    r.keep = r.stage_input = r.stage_grad = 0;
    r.input_halves = r.grad_halves = NULL;
    r.step = r.next = COLUMN_STEP;
    r.staged = 0;
    for (int first = 0; first < n; first += LANES) {
        const int last = n - first < LANES ? n : first + LANES;
        maxima_of_columns(&r, row, first, last, g);
        scale_rows(&r, first, last, g);
        sums_of_columns(&r, row, first, last, g);
        label_exponentials(first, last, g);
        if (job->op == FL_SOFTMAX_FOCAL)
            focal_factors(job, g, first, last);
        if (job->grad.data)
            derivatives_of_columns(&r, row, first, last, g);
    }
}

#endif

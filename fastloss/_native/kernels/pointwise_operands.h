/* What elementwise losses read and write, a chunk of elements at a time: an operand's memory, if that is contiguous and
 * of type T, or else scratch. Of arrays in Fortran order each chunk would touch the lines of all columns, and use a
 * part of them: there chunks are parts of a stage, to or from which whole lines are brought (lines.h). */
#ifndef FASTLOSS_POINTWISE_OPERANDS_H
#define FASTLOSS_POINTWISE_OPERANDS_H

#include "lines.h"

enum {
    MOST_COLUMNS = 128,                       /* 8 kB of rows that fill lines, */
    ROW_STAGE = LANES * MOST_COLUMNS + CHUNK, /* and room for a chunk */
    N_STAGES = 2,     /* input and target, or input and gradient: three would not leave much of a stack of 128 kB */
    STAGE_AHEAD = 512 /* bytes of each column that are fetched ahead: without, 10 columns took three times as long */
};

/* One operand of a block. */
typedef struct {
    FL_ALIGNED T scratch[CHUNK];
    const fl_view *view;
    T *direct;
    int wants_stage;
    T *stage;         /* ROW_STAGE elements, or NULL */
    fl_size from, to; /* what the stage holds: elements that have been read, or results that are still to be written */
    fl_size end;      /* of the block */
} operand;

/* Whether a stage pays: rows that share lines, and enough of them side by side; nothing that has to be converted one by
 * one, which took up to twice as long. */
static int stage_pays(const fl_view *view)
{
    const int last = view->ndim - 1;
    column_run r;
    if (last < 1 || view->shape[last] > MOST_COLUMNS || view->shape[last - 1] < 4 * LANES ||
        !fl_lies_in_columns(view, view->shape[last]))
        return 0;
    open_columns(view, 0, 0, LANES, &r);
    return r.direct || r.halves;
}

/* `used`: whether the loop reads or writes it. */
static FL_OUTLINE void open_operand(operand *o, const fl_view *view, int used)
{
    o->view = view;
    o->direct = view->data && view->ndim > 0 ? view_direct(view) : NULL;
    o->stage = NULL;
    o->wants_stage = used && stage_pays(view);
    if (used && view->ndim == 0) { /* one number: the same in every chunk */
        view_read(view, 0, 1, o->scratch);
        const vf number = v_set(o->scratch[0]);
        for (int i = 0; i < CHUNK; i += WIDTH)
            v_store(o->scratch + i, number);
    }
}

static void open_stage(operand *o, T *stage, fl_size first, fl_size end)
{
    o->stage = stage;
    o->from = o->to = first;
    o->end = end;
}

/* Elements [at, end) to or from `stage`: LANES rows together, and parts of rows by themselves. */
static FL_OUTLINE void move_elements(const operand *o, fl_size at, fl_size end, T *stage, int to_stage)
{
    const fl_view *view = o->view;
    const fl_size width = view->shape[view->ndim - 1];
    for (fl_size n; at < end; at += n, stage += n) {
        const fl_size in_row = at % width, left = end - at;
        if (in_row == 0 && left >= width) {
            const int rows = left / width < LANES ? (int)(left / width) : LANES;
            const column_piece piece = {.last = rows, .n = width, .step = width, .ahead = STAGE_AHEAD};
            (to_stage ? read_piece : write_piece)(view, at / width, &piece, stage);
            n = rows * width;
        } else {
            n = left < width - in_row ? left : width - in_row;
            if (to_stage)
                view_read(view, at, n, stage);
            else
                view_write(view, at, n, stage);
        }
    }
}

/* Where the elements from `at` on, up to `end` at most, can be cut between groups of LANES rows. */
static FL_OUTLINE fl_size whole_rows(const operand *o, fl_size at, fl_size end)
{
    const fl_size width = o->view->shape[o->view->ndim - 1], in_row = at % width;
    const fl_size first = in_row ? at - in_row + width : at;
    return end < first ? at : first + (end - first) / (LANES * width) * (LANES * width);
}

/* Has the stage begin with `start`. */
static FL_OUTLINE void shift_stage(operand *o, fl_size start)
{
    memmove(o->stage, o->stage + (start - o->from), (size_t)(o->to - start) * sizeof(T));
    o->from = start;
}

static FL_OUTLINE void fill_stage(operand *o, fl_size start)
{
    shift_stage(o, start);
    const fl_size room = start + ROW_STAGE;
    const fl_size end = o->end <= room ? o->end : whole_rows(o, o->to, room);
    move_elements(o, o->to, end, o->stage + (o->to - start), 1);
    o->to = end;
}

static FL_OUTLINE void empty_stage(operand *o)
{
    const fl_size end = o->to == o->end ? o->end : whole_rows(o, o->from, o->to);
    move_elements(o, o->from, end, o->stage, 0);
    shift_stage(o, end);
}

/* n elements from `start`, in scratch padded to `whole` by repeating the last: a partial chunk never reads beyond the
 * end. */
static FL_OUTLINE T *load_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    if (o->view->ndim == 0)
        return o->scratch;
    if (o->direct && n == whole)
        return o->direct + start;
    if (o->stage && o->to < start + n)
        fill_stage(o, start);
    if (o->stage && n == whole)
        return o->stage + (start - o->from);
    if (o->stage)
        memcpy(o->scratch, o->stage + (start - o->from), (size_t)n * sizeof(T));
    else
        view_read(o->view, start, n, o->scratch);
    for (fl_size i = n; i < whole; i++)
        o->scratch[i] = o->scratch[n - 1];
    return o->scratch;
}

/* Where a chunk of results goes; store_chunk brings it to its place if that is scratch, or a stage. */
static T *result_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    if (o->stage)
        return o->stage + (start - o->from);
    return o->direct && n == whole ? o->direct + start : o->scratch;
}

static FL_OUTLINE void store_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    if (o->stage) {
        o->to = start + n;
        if (o->to == o->end || o->to - o->from > ROW_STAGE - CHUNK)
            empty_stage(o);
    } else if (!o->direct || n != whole)
        view_write(o->view, start, n, o->scratch);
}

#endif

/* Tiles: the rows of a group transposed, unit by unit, so that rows of few classes fill the lanes: in each unit a class
 * has LANES elements, one a row.
 *
 * A tile is loaded and stored in strips of QUAD = 16 bytes of each row. The 128-bit lanes of a vector are filled
 * from rows that lie QUAD rows apart, so that a transposition within the 128-bit lanes is a transposition of the
 * strip. (Squares as wide as a vector need shuffles across those lanes, too, and 10 classes use a third of such a
 * square only: together with the stores that was a fifth of the time of 65536x10.) */
#ifndef FASTLOSS_TILES_H
#define FASTLOSS_TILES_H

#include "columns.h"

enum {
    /* The most classes of a tile. Of more, rows by themselves take less time: they need not be transposed. */
    NARROW = PICK(256, 144),
    TILED = 64 * GROUP,                  /* elements of a tile: it should stay in the first cache; see fills_group() */
    TILE = TILED + QUAD * LANES          /* and room for a strip of the narrowest rows */
};

/* How many rows a tile holds: fewer where they are long. */
static int rows_of_tile(fl_size n_classes)
{
    int rows = GROUP;
    while (n_classes <= NARROW && rows * n_classes > TILED)
        rows /= 2;
    return rows;
}

/* Whether rows that a tile holds fewer of are to be a whole group all the same: those that lie in columns, of which
 * each line of memory would otherwise be fetched for one part after the other. (150 classes: half the time, though the
 * tile no longer fits into the first cache.) Whatever else has the size of a tile would not hold them: a target's base,
 * the Hessian, the scratch of load_rows and store_rows, the tiles of sum_rows.h. */
static int fills_group(const fl_rows_job *job)
{
    const fl_size n_classes = job->n_classes;
    return rows_of_tile(n_classes) < GROUP && fl_lies_in_columns(&job->input, n_classes) &&
           (!job->grad.data || fl_lies_in_columns(&job->grad, n_classes)) && !job->target.data && !job->hess.data &&
           job->op <= FL_SOFTMAX_FOCAL;
}

/* Row by row, transposed on the way. The last strip of a row overlaps the one before, so that nothing beyond the row is
 * touched. Not inlined, like store_rows: columns, whose tile may be larger, need no scratch. */
static FL_OUTLINE void load_rows(const fl_view *view, fl_size row, int n, fl_size n_classes, const row_group *g,
                                 T *tile)
{
    FL_ALIGNED T scratch[TILE];
    const T *rows = view_direct(view);
    if (rows && n == g->lanes && n_classes >= QUAD)
        rows += row * n_classes;
    else {
        view_read(view, row * n_classes, n * n_classes, scratch);
        memset(scratch + n * n_classes, 0, (size_t)((g->lanes - n) * n_classes + QUAD) * sizeof(T));
        rows = scratch;
    }
    for (int lane = 0; lane < g->lanes; lane += WIDTH) { /* upwards: what is beyond the classes is the next unit's */
        T *to = tile + tile_lanes(n_classes, lane);
        for (fl_size c = 0; c < n_classes; c += QUAD) {
            const fl_size first = c + QUAD <= n_classes || n_classes < QUAD ? c : n_classes - QUAD;
            vf strip[QUAD];
            FL_UNROLL
            for (int i = 0; i < QUAD; i++)
                strip[i] = v_load_quads(rows + (lane + i) * n_classes + first, QUAD * n_classes);
            v_transpose_quads(strip);
            FL_UNROLL
            for (int i = 0; i < QUAD; i++)
                v_store(to + (first + i) * LANES, strip[i]);
        }
    }
}

/* Rows of a rows x classes view into a tile; the lanes of skipped rows hold 0, whatever lies in memory. */
static void load_tile(const fl_view *view, fl_size row, int n, fl_size n_classes, const row_group *g, T *tile)
{
    if (fl_lies_in_columns(view, n_classes))
        load_columns(view, row, n, n_classes, g->lanes, tile);
    else
        load_rows(view, row, n, n_classes, g, tile);
    if (g->some_skipped)
        for (int l = 0; l < g->lanes; l++)
            if (g->label[l] == SKIPPED)
                for (fl_size c = 0; c < n_classes; c++)
                    tile[tile_entry(n_classes, l, c)] = 0;
}

/* A vector of rows of fewer than QUAD classes. */
FL_INLINE void store_interleaved(const T *classes, fl_size n_classes, T *rows)
{
    for (int l = 0; l < WIDTH; l++)
        for (fl_size c = 0; c < n_classes; c++)
            rows[l * n_classes + c] = classes[c * WIDTH + l];
}

/* A tile into rows, each times its factor. */
static void tile_to_rows(const T *tile, const T *factor, int lanes, fl_size n_classes, T *rows)
{
    if (n_classes < QUAD) {
        FL_ALIGNED T scaled[QUAD * WIDTH];
        for (int lane = 0; lane < lanes; lane += WIDTH, rows += WIDTH * n_classes) {
            const T *from = tile + tile_lanes(n_classes, lane);
            for (fl_size c = 0; c < n_classes; c++)
                v_store(scaled + c * WIDTH, v_load(from + c * LANES) * v_load(factor + lane));
            if (n_classes == 2) /* a constant, of which the compiler makes vectors: a sixth of the time */
                store_interleaved(scaled, 2, rows);
            else
                store_interleaved(scaled, n_classes, rows);
        }
        return;
    }
    for (int lane = 0; lane < lanes; lane += WIDTH) {
        const T *from = tile + tile_lanes(n_classes, lane);
        const vf times = v_load(factor + lane);
        for (fl_size c = 0; c < n_classes; c += QUAD) {
            const fl_size first = c + QUAD <= n_classes ? c : n_classes - QUAD;
            vf strip[QUAD];
            FL_UNROLL
            for (int i = 0; i < QUAD; i++)
                strip[i] = v_load(from + (first + i) * LANES) * times;
            v_transpose_quads(strip);
            FL_UNROLL
            for (int i = 0; i < QUAD; i++)
                v_store_quads(rows + (lane + i) * n_classes + first, QUAD * n_classes, strip[i]);
        }
    }
}

/* What takes the place of one class of each row: none where `at` is negative. In the tile it would be written element
 * by element and read by the vector, which waits for such writes. */
static void replace_classes(T *rows, int n, fl_size n_classes, const int64_t *at, const T *value)
{
    for (int l = 0; l < n; l++, rows += n_classes)
        if (at[l] >= 0)
            *(volatile T *)&rows[at[l]] = value[l]; /* volatile, or gcc makes a scatter of it, which is slower */
}

/* Arguments as those of store_tile. */
static FL_OUTLINE void store_rows(const fl_rows_job *job, const fl_view *view, fl_size row, int n,
                                  const row_group *g, const T *tile, const T *factor, const T *at_top,
                                  const T *at_label)
{
    FL_ALIGNED T scratch[TILE];
    const fl_size n_classes = job->n_classes;
    T *direct = view_direct(view);
    T *rows = direct && n == g->lanes ? direct + row * n_classes : scratch, *to = rows;
    tile_to_rows(tile, factor, g->lanes, n_classes, rows);
    if (at_top)
        replace_classes(rows, n, n_classes, g->top, at_top);
    if (at_label && all_labelled(job, g))
        for (int first = 0; first < n; first += LANES)
            FL_UNROLL
            for (int l = first; l < first + LANES; l++, to += n_classes)
                *(volatile T *)&to[g->label[l]] = at_label[l];
    else if (at_label)
        replace_classes(rows, n, n_classes, g->label, at_label);
    if (rows == scratch)
        view_write(view, row * n_classes, n * n_classes, scratch);
}

/* A tile into a rows x classes view. `factor` is what each row is multiplied by, `at_top` and `at_label` are what goes
 * to its maximum and to its label; any of them may be NULL. */
static FL_OUTLINE void store_tile(const fl_rows_job *job, const fl_view *view, fl_size row, int n,
                                  const row_group *g, const T *tile, const T *factor, const T *at_top,
                                  const T *at_label)
{
    FL_ALIGNED T ones[GROUP];
    for (int l = 0; l < GROUP; l++)
        ones[l] = 1;
    factor = factor ? factor : ones;
    if (fl_lies_in_columns(view, job->n_classes))
        store_columns(view, row, n, g, job->n_classes, tile, factor, at_top, at_label);
    else
        store_rows(job, view, row, n, g, tile, factor, at_top, at_label);
}

#endif

/* What a formula is: value, gradients and diagonal second derivatives of one loss, side by side.
 *
 * Every formula computes all it can; each loop is compiled from it with the results it does not store left out. */
#ifndef FASTLOSS_FORMULAS_H
#define FASTLOSS_FORMULAS_H

#include <assert.h>

#include "elementary.h"
#include "types.h"

typedef struct {
    vf value;
    vf grad[3]; /* with respect to the input, the target, the first parameter: FL_WRT_... */
    vf hess[3];
} terms;

/* A long formula in stages, each a loop of its own over SPAN elements. The processor looks ahead some two hundred
 * operations: in one loop a formula of half as many has few vectors on their way, and these wait for themselves; a
 * part of it has more (binary_cross_entropy_with_logits: a fifth of the time with AVX2, a seventh with AVX-512). */
enum { MOST_STAGES = 4, MOST_CARRIED = 12, SPAN = 2048 / (int)sizeof(T) }; /* 24 kB of stack at most */

typedef struct {
    T *memory[MOST_CARRIED]; /* where a vector's stages leave something for later ones */
    int stage, n;            /* the one that runs, from 1 on; how much it has asked for */
} stages;

/* Where a formula is divided: this is computed and stored by one stage (1, 2, ...) and read by those after it. The
 * function stays whole: of each stage the compiler leaves out what nothing uses, and so it does with the stores of
 * what no result needs. */
FL_INLINE vf v_carried(stages *s, int stage, vf x)
{
    if (s == NULL)
        return x;
    assert(s->n < MOST_CARRIED);
    T *at = s->memory[s->n++];
    if (s->stage > stage)
        return v_load(at);
    if (s->stage == stage)
        v_store(at, x);
    return x;
}

/* A loss whose input alone has derivatives, or which is a DIFFERENCE (losses.def). */
FL_INLINE terms terms_of_input(vf value, vf slope, vf curvature)
{
    return (terms){value, {slope, v_set(0), v_set(0)}, {curvature, v_set(0), v_set(0)}};
}

#endif

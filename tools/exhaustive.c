/* The inner loop of exhaustive.py: the largest error of float32 results against double ones, in units in the last place
 * of the exact result. NaN, infinity and overflow must come out as such; a result below the smallest normal number may be
 * 0, or wrong by 4 of the smallest steps. Anything else is an infinite error. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static double error_of(float got, double exact)
{
    float rounded = (float)exact, power;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    bits &= 0x7f800000u;
    memcpy(&power, &bits, sizeof power);
    double difference = fabs((double)got - exact);
    /* Bitwise: branches would keep the loop from becoming vectors. */
    int tiny = fabs(exact) < 0x1p-126, special = !(fabs(exact) >= 0x1p-126) | (bits >= 0x7f800000u);
    int right = (got == rounded) | ((got != got) & (rounded != rounded)) |
                (tiny & ((got == 0) | (difference <= 4 * 0x1p-149)));
    double error = difference * 0x1p23 / (double)power;
    double ordinary = error == error ? error : INFINITY, unusual = right ? 0 : INFINITY;
    return special ? unusual : ordinary;
}

enum { STRETCH = 256 };

double worst_error(const float *got, const double *exact, int64_t n, int64_t *where)
{
    int64_t worst = -1; /* the bits of a double that is not negative order as the numbers do, and their maximum vectorises */
    for (int64_t start = 0; start < n; start += STRETCH) {
        double errors[STRETCH];
        int64_t bits[STRETCH], most = 0, count = n - start < STRETCH ? n - start : STRETCH;
        for (int64_t i = 0; i < count; i++)
            errors[i] = error_of(got[start + i], exact[start + i]);
        memcpy(bits, errors, sizeof bits);
        for (int64_t i = 0; i < count; i++)
            most = bits[i] > most ? bits[i] : most;
        if (most > worst) {
            worst = most;
            for (int64_t i = count - 1; i >= 0; i--)
                *where = bits[i] == most ? start + i : *where;
        }
    }
    double result;
    memcpy(&result, &worst, sizeof result);
    return worst < 0 ? 0 : result;
}

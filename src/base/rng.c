// Philox4x32-10 and the distributions drawn from it. The known answers of the paper's Random123
// library are in tests/unit/test_rng.c.
//
// Normal: Box-Muller, one of the pair. Gamma: Marsaglia and Tsang, "A Simple Method for Generating
// Gamma Variables", ACM TOMS 2000, with the U^(1/a) boost below shape 1. Beta: X/(X+Y) of two
// Gammas, taken in logarithms below shape 1, where both may underflow. below(): Lemire's
// multiplication with rejection, "Fast Random Integer Generation in an Interval", ACM TOMACS 2019.
//
// normals(): Box-Muller, both of the pair, on LANES blocks side by side; logarithm, sine and cosine
// are series, so that the compiler can vectorize them and the C library has no say in the numbers.
#include "vitrain/base/rng.h"

#include <math.h>
#include <string.h>

enum { LANES = 32 };

void vt_philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample,
               uint32_t draw)
{
    uint32_t c0 = draw, c1 = sample, c2 = epoch, c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

vt_rng vt_rng_at(uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample)
{
    return (vt_rng){.seed = seed, .stream = stream, .epoch = epoch, .sample = sample};
}

uint32_t vt_rng_u32(vt_rng *rng)
{
    if (rng->left == 0) {
        vt_philox(rng->block, rng->seed, rng->stream, rng->epoch, rng->sample, rng->draw++);
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

double vt_rng_uniform(vt_rng *rng)
{
    uint64_t high = vt_rng_u32(rng) >> 5, low = vt_rng_u32(rng) >> 6; // 27 + 26 bits
    return (double)(high << 26 | low) * 0x1p-53;
}

double vt_rng_range(vt_rng *rng, double low, double high)
{
    return low + (high - low) * vt_rng_uniform(rng);
}

uint32_t vt_rng_below(vt_rng *rng, uint32_t n)
{
    uint64_t product = (uint64_t)vt_rng_u32(rng) * n;
    uint32_t floor = -n % n; // 2^32 mod n
    while ((uint32_t)product < floor) product = (uint64_t)vt_rng_u32(rng) * n;
    return (uint32_t)(product >> 32);
}

double vt_rng_normal(vt_rng *rng)
{
    double radius = sqrt(-2 * log(1 - vt_rng_uniform(rng))); // 1 - u is in (0, 1]
    return radius * cos(2 * 3.14159265358979323846 * vt_rng_uniform(rng));
}

// The logarithm of a Gamma(shape) variable: small shapes underflow otherwise.
static double log_gamma_variable(vt_rng *rng, double shape)
{
    double boost = 0;
    if (shape < 1) {
        boost = log(1 - vt_rng_uniform(rng)) / shape;
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = vt_rng_normal(rng), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = 1 - vt_rng_uniform(rng);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return boost + log(d * v);
    }
}

double vt_rng_gamma(vt_rng *rng, double shape)
{
    return exp(log_gamma_variable(rng, shape));
}

double vt_rng_beta(vt_rng *rng, double a, double b)
{
    double x = log_gamma_variable(rng, a), y = log_gamma_variable(rng, b);
    return 1 / (1 + exp(y - x));
}

void vt_rng_permutation(vt_rng *rng, uint32_t n, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i++) { // Fisher-Yates, inside out
        uint32_t j = vt_rng_below(rng, i + 1);
        out[i] = out[j];
        out[j] = i;
    }
}

// ---- many normal numbers at once ----

// The blocks of LANES draws from rng->draw on: word[i][lane].
static void philox_lanes(uint32_t word[4][LANES], const vt_rng *rng)
{
    uint32_t k0 = (uint32_t)rng->seed, k1 = (uint32_t)(rng->seed >> 32);
    for (int l = 0; l < LANES; l++) {
        word[0][l] = rng->draw + (uint32_t)l, word[1][l] = rng->sample;
        word[2][l] = rng->epoch, word[3][l] = rng->stream;
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * word[0][l];
            uint64_t p1 = (uint64_t)0xCD9E8D57u * word[2][l];
            word[0][l] = (uint32_t)(p1 >> 32) ^ word[1][l] ^ k0, word[1][l] = (uint32_t)p1;
            word[2][l] = (uint32_t)(p0 >> 32) ^ word[3][l] ^ k1, word[3][l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

// -2 ln((v + 1/2) / 2^31), v = u / 2: what a conversion to float rounds away of a large v does not
// matter, small ones are exact. With the mantissa m in [0.7, 1.4): ln m = 2 atanh s,
// s = (m - 1)/(m + 1), |s| < 0.18, of whose series the sixth term is below 1e-9.
static inline float radius_squared(uint32_t u)
{
    float x = (float)(int32_t)(u >> 1) + 0.5f, m;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t above = bits - 0x3F3504F3u; // sqrt(1/2)
    int32_t exponent = (int32_t)above >> 23;
    bits = (above & 0x7FFFFFu) + 0x3F3504F3u;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1) / (m + 1), t = s * s;
    float ln = 2 * s * (1 + t * (1 / 3.0f + t * (1 / 5.0f + t * (1 / 7.0f + t * (1 / 9.0f)))));
    return -2 * (ln + (float)(exponent - 31) * 0.69314718f);
}

// A point of the unit circle: the top two bits choose the quarter, the others the angle from its
// middle, at most pi/4, for which the Taylor series need five terms. Quarters differ in which of
// the two is x, and in signs.
static inline void direction(uint32_t u, float *x, float *y)
{
    float a = ((float)(int32_t)(u & 0x3FFFFFFFu) * 0x1p-30f - 0.5f) * 1.57079633f, t = a * a;
    float sine =
        a * (1 + t * (-1 / 6.0f + t * (1 / 120.0f + t * (-1 / 5040.0f + t * (1 / 362880.0f)))));
    float cosine = 1 + t * (-1 / 2.0f + t * (1 / 24.0f + t * (-1 / 720.0f + t * (1 / 40320.0f))));
    uint32_t s, c, swap = 0 - (u >> 30 & 1), sign = u & 0x80000000u;
    memcpy(&s, &sine, sizeof s);
    memcpy(&c, &cosine, sizeof c);
    uint32_t difference = (s ^ c) & swap;
    c ^= difference ^ sign ^ (swap & 0x80000000u);
    s ^= difference ^ sign;
    memcpy(x, &c, sizeof c);
    memcpy(y, &s, sizeof s);
}

static void box_muller(float *restrict x, float *restrict y, const uint32_t *restrict u,
                       const uint32_t *restrict v)
{
    for (int l = 0; l < LANES; l++) {
        float radius = sqrtf(radius_squared(u[l])), across, up;
        direction(v[l], &across, &up);
        x[l] = radius * across;
        y[l] = radius * up;
    }
}

void vt_rng_normals(vt_rng *rng, float *out, size_t n)
{
    enum { CHUNK = 4 * LANES };
    rng->left = 0;
    for (size_t done = 0; done < n; done += CHUNK, rng->draw += LANES) {
        uint32_t word[4][LANES];
        float chunk[4][LANES];
        philox_lanes(word, rng);
        box_muller(chunk[0], chunk[1], word[0], word[1]);
        box_muller(chunk[2], chunk[3], word[2], word[3]);
        size_t left = n - done;
        memcpy(out + done, chunk, (left < CHUNK ? left : CHUNK) * sizeof *out);
    }
}

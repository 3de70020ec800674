// Whether draws follow a distribution. Each check fails correct code with a probability of at most
// 1e-4 (for a seed that was not looked at; seeds are fixed, so that a test passes always or never).
#ifndef VITRAIN_TESTS_CHANCE_H
#define VITRAIN_TESTS_CHANCE_H

#include <stddef.h>

// hits of n trials, each with probability p: within 3.9 deviations.
void chance_share(long hits, long n, double p, const char *what);

// Counts of cells, with probabilities in the ratio of `weights`: chi-square test. NULL: all as
// likely; a cell of weight 0 has to be empty.
void chance_counts(const long *counts, const double *weights, int cells, const char *what);

// Numbers with a continuous distribution function cdf(value, context): Kolmogorov-Smirnov test.
// Sorts them.
void chance_cdf(double *values, size_t n, double (*cdf)(double, const double *),
                const double *context, const char *what);

double chance_uniform(double value, const double *bounds); // between bounds[0] and bounds[1]
double chance_normal(double value, const double *moments); // mean moments[0], deviation moments[1]

#endif

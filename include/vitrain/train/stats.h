// The little statistics that comparing methods takes: means, Student's t, and paired differences.
#ifndef VITRAIN_TRAIN_STATS_H
#define VITRAIN_TRAIN_STATS_H

// Of n numbers. mean is NAN for n = 0, sd (with n - 1 below the fraction) for n < 2.
typedef struct vt_summary {
    int n;
    double mean, sd;
} vt_summary;

vt_summary vt_summarize(const double *values, int n);

// P(|T| > |t|) for T of Student's distribution with df > 0 degrees of freedom.
double vt_student_p(double t, double df);
// The t that |T| exceeds with probability alpha, 0 < alpha < 1: 2.776 for alpha 0.05 and df 4.
double vt_student_quantile(double alpha, double df);

// The mean of n paired differences, and whether it is distinguishable from 0.
typedef struct vt_paired {
    vt_summary difference;
    double low, high; // confidence interval of the mean; NAN where there is none
    double t, p;      // of the hypothesis that it is 0, two-sided; likewise
} vt_paired;

// `confidence`: 0.95, say. With n < 2, or differences that are all the same, there is no interval:
// nothing says how much they vary.
vt_paired vt_compare_paired(const double *differences, int n, double confidence);

// Holm's step-down adjustment of n p values (Scand. J. Statist. 6, 1979): comparing each with alpha
// keeps the probability of any wrong rejection among them below alpha. NAN stays, and is not
// counted.
void vt_holm(double *adjusted, const double *p, int n);

#endif

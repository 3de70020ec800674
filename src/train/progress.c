// The progress bar and its plain sister.
#include "progress.h"

#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"

#include <stdio.h>
#include <string.h>

enum { BAR_WIDTH = 24 };
static const double BAR_INTERVAL_S = 0.2, LINE_INTERVAL_S = 60;

vt_meter vt_meter_start(int64_t done_batches)
{
    double now = vt_now_s();
    return (vt_meter){.started_s = now, .shown_s = now, .done_at_start = done_batches};
}

static double training_s(const vt_meter *meter)
{
    return vt_now_s() - meter->started_s - meter->evaluation_s;
}

static int64_t done(const vt_meter *meter, const vt_meter_reading *now)
{
    return now->epoch * now->batches + now->batch - meter->done_at_start;
}

double vt_meter_rate(const vt_meter *meter, const vt_meter_reading *now)
{
    double seconds = training_s(meter);
    return seconds > 0 ? (double)(done(meter, now) * now->images) / seconds : 0;
}

static double remaining_s(const vt_meter *meter, const vt_meter_reading *now)
{
    int64_t made = done(meter, now);
    if (made <= 0) return 0;
    int64_t left = (now->epochs - now->epoch) * now->batches - now->batch;
    double seconds = training_s(meter) / (double)made * (double)left;
    if (meter->evaluations)
        seconds +=
            meter->evaluation_s / (double)meter->evaluations * (double)(now->epochs - now->epoch);
    return seconds;
}

static void format_time(char *text, size_t capacity, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 86400)
        snprintf(text, capacity, "%ldd %02ld:%02ld h", s / 86400, s / 3600 % 24, s / 60 % 60);
    else
        snprintf(text, capacity, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

void vt_meter_show(vt_meter *meter, const vt_meter_reading *now)
{
    const bool terminal = vt_log_is_terminal();
    double time = vt_now_s();
    if (time - meter->shown_s < (terminal ? BAR_INTERVAL_S : LINE_INTERVAL_S)) return;
    meter->shown_s = time;
    char eta[32], bar[BAR_WIDTH + 1], text[256];
    format_time(eta, sizeof eta, remaining_s(meter, now));
    int filled = (int)(BAR_WIDTH * now->batch / now->batches);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '=', (size_t)filled);
    bar[BAR_WIDTH] = 0;
    snprintf(text, sizeof text,
             "epoch %lld/%lld [%s] %lld/%lld  loss %.4f  lr %.2e  %.1f images/s  ETA %s",
             (long long)now->epoch + 1, (long long)now->epochs, bar, (long long)now->batch,
             (long long)now->batches, now->loss, now->lr, vt_meter_rate(meter, now), eta);
    if (terminal)
        vt_log_progress(text);
    else
        vt_log(VT_LOG_INFO, "%s", text);
}

// shares.jsonl: how far attention moved the labels of mixed samples, an epoch a line.
#include "run.h"

#include "vitrain/io/runlog.h"

vt_status vt_run_log_shares(const vt_run *run)
{
    vt_json *line = vt_json_new_object();
    vt_json_add_number(line, "epoch", (double)run->state.progress.epoch);
    vt_status status = VT_OK;
    if (vt_fluctuation_json(&run->step.fluctuation, line))
        status = vt_runlog_append(run->shares, line);
    vt_json_destroy(line);
    return status;
}

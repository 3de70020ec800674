// shares.jsonl: how far attention moved the labels of mixed samples, an epoch a line. An epoch that was
// stopped and resumed counts what came after (from_batch); one stopped behind its last batch, in the
// evaluation, has no line.
#include "run.h"

#include "vitrain/io/runlog.h"

vt_status vt_run_log_shares(const vt_run *run, int64_t from_batch)
{
    vt_json *line = vt_json_new_object();
    vt_json_add_number(line, "epoch", (double)run->state.progress.epoch);
    vt_json_add_number(line, "from_batch", (double)from_batch);
    vt_json_add_number(line, "batches", (double)(run->batches - from_batch));
    vt_status status = VT_OK;
    if (vt_fluctuation_json(&run->step.fluctuation, line))
        status = vt_runlog_append(run->shares, line);
    vt_json_destroy(line);
    return status;
}

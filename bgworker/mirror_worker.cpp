// The mirror worker of a database: main function and loop.
#include "bgworker/worker_process.hpp"

namespace dbnet::bgworker {
namespace {

void run_mirror_worker(WorkerProcess &process) {
    while (true)
        process.wait(-1, -1);
}

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_mirror_worker_main) {
    dbnet::bgworker::run_worker_process(DatumGetObjectId(argument), dbnet::pg::WorkerKind::mirror,
                                        dbnet::bgworker::run_mirror_worker);
}

// What the launcher knows and decides about one worker of one database: when to start it, whether it came up in time,
// how to judge its end, when to try again. A companion of the mirror worker is there while it is wanted. Launcher
// process.
#pragma once

#include "pg/shared_memory.hpp"

struct BackgroundWorkerHandle;

namespace dbnet::bgworker {

class DatabaseWorker {
public:
    static constexpr int64 never = -1;

    DatabaseWorker(Oid database, pg::WorkerKind kind) noexcept : database_(database), kind_(kind) {}
    DatabaseWorker(const DatabaseWorker &) = delete;
    DatabaseWorker &operator=(const DatabaseWorker &) = delete;

    // Somebody created or changed the extension here: try at once, whatever was before.
    void request() noexcept;

    // The same when the extension is believed to be absent; else nothing.
    void reconsider() noexcept {
        if (is_absent_)
            request();
    }

    struct Step {
        int64 due_ms;     // when to call step() again (ms, as now_ms), never: when the launcher is woken
        bool is_starting; // a process is on its way up
    };
    // Brings the worker one step further. may_start: false leaves a start that is due to a later step.
    Step step(int64 now_ms, bool may_start);

    // The database is gone or takes no connections. True when nothing of it is left; else its process is told to end.
    bool forget();

private:
    struct View;

    View look();
    Step watch(const View &view, int64 now_ms);
    void judge_end(const View &view, int64 now_ms);
    Step start(int64 now_ms);
    bool register_process();
    bool has_died_unseen() const;
    void give_up_start(const char *reason);
    void drop_handle();
    void delay_next_try(int64 now_ms) noexcept;

    Oid database_;
    pg::WorkerKind kind_;
    bool is_absent_ = false;      // of a mirror worker: looked at, no extension here, nothing to do until a request
    bool is_requested_ = false;   // since the last process started: what that one saw may be old
    bool is_started_ = false;     // a process was registered, or found running; its end is to be judged
    bool is_told_to_end_ = false; // it did not come up in time
    int64 running_since_ms_ = 0;  // 0: not seen running
    int64 delay_ms_ = first_delay_ms;
    int64 due_ms_ = 0;
    BackgroundWorkerHandle *handle_ = nullptr; // palloc'd in TopMemoryContext

    static constexpr int64 first_delay_ms = 1000;
    static constexpr int64 longest_delay_ms = 60000;
    static constexpr int64 healthy_ms = 60000; // ran this long: the next try is not delayed longer than the first
    static constexpr int64 starting_limit_ms = 30000; // from registration to connected
};

} // namespace dbnet::bgworker

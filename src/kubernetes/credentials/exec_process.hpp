// One run of a program that gives credentials: a process of its own, started without a shell, with an environment of
// its own and nothing of ours open, in a process group that is killed when it takes too long or nobody waits any more.
// Never waits: whoever has it watches descriptor() and calls run(). Runs in the mirror worker and in backends.
//
// Needs no SIGCHLD handler, which PostgreSQL's processes do not have: the end is seen through a pidfd, and only this
// process is waited for.
#pragma once

#include "kubernetes/credentials/exec_plugin.hpp"
#include "kubernetes/transport/event_poll.hpp"

#include <sys/types.h>

#include <string>
#include <string_view>

namespace dbnet::kubernetes {

class ExecProcess {
public:
    // `info`: value of KUBERNETES_EXEC_INFO. Throws Failure when it cannot be started.
    ExecProcess(ExecPlugin plugin, const std::string &info);
    ~ExecProcess(); // kills what still runs
    ExecProcess(const ExecProcess &) = delete;
    ExecProcess &operator=(const ExecProcess &) = delete;

    int descriptor() const noexcept { return poll_.descriptor(); } // readable when run() has work, time limit included
    bool run();                                                    // true once it is over
    const std::string &output() const noexcept { return output_; }
    const std::string &problem() const noexcept { return problem_; } // empty: it ended well

private:
    // One end of a pipe, and what has come through it.
    class Pipe {
    public:
        Pipe();
        ~Pipe() { close(); }
        Pipe(const Pipe &) = delete;
        Pipe &operator=(const Pipe &) = delete;
        int reader() const noexcept { return ends_[0]; }
        int writer() const noexcept { return ends_[1]; }
        void close_writer() noexcept;
        void close() noexcept;

    private:
        int ends_[2] = {-1, -1};
    };

    void start(const std::string &info);
    void drain();
    void take(Pipe &pipe, std::string &text);
    void kill() noexcept;
    void give_up(std::string problem);

    ExecPlugin plugin_;
    EventPoll poll_;
    Pipe stdout_, stderr_;
    pid_t process_ = -1; // -1: it is over
    int end_ = -1;       // pidfd
    EventPoll::Clock::time_point deadline_;
    std::string output_, errors_, problem_;
};

} // namespace dbnet::kubernetes

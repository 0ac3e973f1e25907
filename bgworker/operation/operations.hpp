// Carries out what dbnet.operation asks for: cordon, uncordon, evict, drain, restart. Lives in the mirror worker's
// loop; never sends inside a transaction. All of it may be repeated: what is on record of an operation is where a
// worker that starts anew goes on, each request names the incarnation that it is meant for, and what is done already is
// no error.
//
//   look at the object ──▶ patch it ──▶ list the node's pods ──▶ ask for their DaemonSets ──▶ evict, and wait for the
//   end
//        cordon, restart: the first two        drain: all of it        evict: the last alone
#pragma once

#include "bgworker/actuation/actuator.hpp"
#include "bgworker/operation/operation_answer.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/store/operation_store.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class Operations {
public:
    Operations(kubernetes::Transport &transport, Actuator &actuator,
               std::function<void(const std::string &)> note_error)
        : transport_(transport), actuator_(actuator), note_error_(std::move(note_error)) {}

    void configure(std::shared_ptr<const mirror::Catalog> catalog);
    // Operations were asked for or given up, or something may have been missed.
    void request_load() noexcept { load_ms_ = 0; }
    void take(const Commit &commit);
    // An event or answer told something new about the object.
    void touch(const mirror::Key &key);

    // Outside any transaction.
    void turn();
    // Milliseconds until turn() has something to do; -1: nothing by itself.
    int timeout_ms() const;

private:
    using State = mirror::OperationWrite::State;
    using StepState = mirror::OperationStep::State;
    enum class Stage { look, patch, list, owners, pods };

    struct Pod {
        mirror::OperationStep step;
        bool under_way = false;
        bool is_dirty = true; // not on record as it is
        int64_t due_ms = 0;
    };
    struct Running {
        mirror::Operation request;
        Stage stage = Stage::look;
        State state = State::waiting;
        std::string message, reason;
        int attempts = 0;                          // failed ones in a row, of the stage
        int64_t due_ms = 0;                        // of the stage; of the pods: when to look which are gone
        int64_t closed_until_ms = 0;               // nothing may be sent; then it is looked again
        bool waits = false;                        // for due_ms, after a failure
        bool under_way = false;                    // a request of the operation as a whole
        bool is_dirty = false;                     // not on record as it is
        int64_t started_ms = 0;                    // monotonic
        std::vector<nlohmann::json> listed;        // pods, until it is known which of them are to go
        std::map<std::string, std::string> owners; // DaemonSets by namespace/name: the server's words if it has none
        std::vector<Pod> pods;
        int64_t poll_delay_ms = 0;
        // As whom what changes a device is asked for; nullptr: as who the credentials are.
        std::shared_ptr<const kubernetes::Impersonation> acts_as;

        bool is_over() const { return state != State::waiting && state != State::running; }
        std::ptrdiff_t pods_asked() const {
            return std::ranges::count_if(pods, [](const Pod &pod) { return pod.under_way; });
        }
        int64_t deadline_ms() const {
            return request.timeout_ms < 0 || state == State::waiting ? INT64_MAX : started_ms + request.timeout_ms;
        }
    };

    // operations.cpp: the tables.
    void load();
    void take_up(mirror::Operation &&request, int64_t now_ms);
    void hold_many(int64_t now_ms);
    void save();

    // operations_run.cpp: requests and answers.
    static int64_t due_ms(const Running &running);
    void advance(Running &running, int64_t now_ms);
    std::string closed_reason(const Running &running, const mirror::Mirror &mirror) const;
    const mirror::Mirror *mirror_of_pod(const Running &running, const std::string &name_space) const;
    void send_stage(Running &running, const mirror::Mirror &mirror);
    void send(const Running &running, const mirror::Mirror &mirror, kubernetes::Request &&request,
              void (Operations::*answer)(Running &, const mirror::Mirror &, kubernetes::Response &&));
    void answer_look(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void answer_patch(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void answer_list(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void answer_owner(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void answer_poll(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response);
    void decide_pods(Running &running);
    void send_evictions(Running &running, const mirror::Mirror &mirror, int64_t now_ms);
    void answer_eviction(int64_t id, bool is_dry_run, const kubernetes::PodOfNode &pod, mirror::ActuationWrite &&line,
                         const kubernetes::Response &response);
    // True: the answer is a good one. Else what it means has been noted.
    bool take_verdict(Running &running, const OperationVerdict &verdict);
    void next_stage(Running &running, Stage stage);
    void wait(Running &running, const std::string &message, int64_t delay_ms);
    void tell(Running &running, const std::string &message, const std::string &reason = {});
    void finish(Running &running, State state, const std::string &message, const std::string &reason = {});
    void finish_pods(Running &running, int64_t now_ms);
    mirror::ActuationWrite line_for(const Running &running, const char *operation) const;
    double random() { return random_() / 2147483648.0; }

    kubernetes::Transport &transport_;
    Actuator &actuator_;
    std::function<void(const std::string &)> note_error_;
    std::shared_ptr<const mirror::Catalog> catalog_ = std::make_shared<mirror::Catalog>();
    std::map<int64_t, Running> running_;               // by id of the operation
    std::vector<mirror::ActuationWrite> log_;          // not on record yet
    std::vector<mirror::HeldWrite> holds_;             // likewise
    std::map<uint32_t, mirror::MassChangeGate> gates_; // by mirror
    int64_t load_ms_ = 0;                              // when to load
    int64_t save_ms_ = 0;                              // not before
    std::minstd_rand random_{std::random_device()()};
};

// How far the pods of an operation are, and what the first that waits says.
std::string progress_text(std::span<const mirror::OperationStep> steps);

} // namespace dbnet::bgworker
